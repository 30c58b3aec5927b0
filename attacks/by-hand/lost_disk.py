"""A client loses its folder, or changes its key as docs/operations.md says; how long does the server refuse it for what waited? `lost_disk.py POOL`"""
import shutil, sys, time, os
from lab import Lab

POOL = int(sys.argv[1]) if len(sys.argv) > 1 else 12
LENGTHS = sys.argv[2] if len(sys.argv) > 2 else "6"
HOWS = sys.argv[3:] or ["lost, --only-folder", "lost, without a word", "new key", "server's new key"]
for how in HOWS:
    lab = Lab()
    try:
        lab.texts()
        config = lab.server_config(f'model = "texts"\npool = {POOL}\npool_folder = "pool"\n')
        server = lab.start("serve", config)
        at = server.address
        client = lab.client_config("client", at, f'pool = {POOL}\npool_folder = "mine"\nlexicon = "texts-lexicon"\n')
        done = lab.infer(client, "--fill", "--lengths", LENGTHS)
        print(f"{how}: fill exit {done.returncode}, {done.took:.1f} s, {len(os.listdir(lab.path('pool')))-1} wait {done.stderr[-160:]}")

        def changed(name):
            os.mkdir(lab.path("new"))
            lab.must("keygen", name, "--out", lab.path("new"), "--after", lab.dir)
            shutil.copy(lab.path("new", f"{name}.cert"), lab.path(f"{name}-new.cert"))
            shutil.copy(lab.path(f"{name}.cert"), lab.path(f"{name}-old.cert"))
            for file in ("server.toml", "client.toml"):
                text = open(lab.path(file)).read()
                both = f'certificate = ["{name}-old.cert", "{name}-new.cert"]'
                lab.write(file, text.replace(f'certificate = "{name}.cert"', both))
            if name == "client":
                server.send_signal(10); time.sleep(1)
            for ending in ("key", "cert"):
                os.remove(lab.path(f"{name}.{ending}")); shutil.move(lab.path("new", f"{name}.{ending}"), lab.path(f"{name}.{ending}"))

        if how == "new key":
            changed("client")
        elif how == "server's new key":
            server.terminate(); server.wait()
            changed("server")
            text = open(config).read().replace('listen = "127.0.0.1:0"', f'listen = "{at}"')
            server = lab.start("serve", lab.write("server.toml", text))
        else:
            shutil.rmtree(lab.path("mine")); shutil.rmtree(lab.path("mine.keys"))
        begun, said = time.time(), []
        args = ["--only-folder"] if "only" in how else []
        while time.time() - begun < 200:
            done = lab.infer(client, *args, "--text", "the client sees neither")
            said.append((round(time.time() - begun, 1), done.returncode, done.stderr.strip()[-260:]))
            if done.returncode == 0:
                break
            time.sleep(2)
        print(f"   {len(said)} runs until it is served: the first {said[0]}, the last {said[-1]}")
        print("   ", [line.strip()[-110:] for line in open(server.log) if "burnt" in line or "no longer" in line][:3])
    finally:
        lab.stop()
