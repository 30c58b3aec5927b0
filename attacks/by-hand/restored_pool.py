"""A server of [[models]] restores its `pool_folder`, of which SECURITY.md says that it has no keys beside it; a client kept its own."""
import shutil, os, json
from lab import Lab

lab = Lab()
try:
    lab.texts()
    lines = 'pool = 2\npool_folder = "pool"\n\n[[models]]\nname = "x"\nmodel = "texts"\n'
    config = lab.server_config(lines)
    server = lab.start("serve", config)
    at = server.address
    client = lab.client_config("client", at, 'pool = 2\npool_folder = "mine"\nlexicon = "texts-lexicon"\n')
    done = lab.infer(client, "--json", "--fill", "--lengths", "6")
    assert done.returncode == 0, done.stderr
    print("in the server's pool folder:", sorted(os.path.relpath(os.path.join(f, n), lab.dir) for f, _, ns in os.walk(lab.path("pool")) for n in ns))
    print("pool.keys beside it:", os.path.exists(lab.path("pool.keys")))
    server.terminate(); server.wait()
    shutil.copytree(lab.path("pool"), lab.path("backup-pool"))
    for name in ("mine", "mine.keys"):
        shutil.copytree(lab.path(name), lab.path("kept-" + name))
    logs = []
    for turn in range(2):
        if turn:
            for to, name in (("pool", "backup-pool"), ("mine", "kept-mine"), ("mine.keys", "kept-mine.keys")):
                shutil.rmtree(lab.path(to)); shutil.copytree(lab.path(name), lab.path(to))
            os.chmod(lab.path("pool"), 0o700)
        server = lab.start("serve", lab.server_config(lines, at=at))
        done = lab.infer(client, "--json", "--text", "the client sees neither", "--text", "the client sees neither")
        print("turn", turn, "exit", done.returncode, "waited", [r["costs"]["waited"] for r in json.loads(done.stdout)["results"]])
        server.terminate(); server.wait()
        logs.append([line.rsplit(" ", 1)[1] for line in open(server.log) if "waited on the disk" in line])
        print("  tags at the server:", logs[-1])
    twice = set(logs[0][i].strip() for i in range(len(logs[0]))) & set(tag.strip() for tag in logs[1])
    print("USED TWICE:" if twice else "held", twice)
finally:
    lab.stop()
