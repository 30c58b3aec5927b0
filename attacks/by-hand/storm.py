"""SIGUSR1 again and again, the model replaced by another under the same name, while clients embed texts: is any answer of neither model, or of another than is named?"""
import json, os, random, shutil, struct, subprocess, sys, threading, time
from lab import Lab

SOURCE = sys.argv[1] if len(sys.argv) > 1 else "peer"
LIFE = float(sys.argv[2]) if len(sys.argv) > 2 else 60


def perturbed(folder):
    path = os.path.join(folder, "weights.safetensors")
    data = bytearray(open(path, "rb").read())
    start = 8 + struct.unpack("<Q", data[:8])[0]
    head = json.loads(data[8:start])
    random.seed(1)
    for name, tensor in head.items():
        if name.startswith("blocks") and name.endswith("weight") and "norm" not in name:
            a, b = (start + x for x in tensor["data_offsets"])
            floats = struct.unpack(f"<{(b-a)//4}f", data[a:b])
            data[a:b] = struct.pack(f"<{len(floats)}f", *(x * (1 + 0.6 * random.uniform(-1, 1)) for x in floats))
    open(path, "wb").write(data)


lab = Lab(deadline=6, source=SOURCE)
try:
    lab.texts()
    shutil.copytree(lab.path("texts"), lab.path("other"))
    perturbed(lab.path("other"))
    lab.must("calibrate", lab.path("other"), "--text", lab.path("samples.txt"), "--force")
    dealer = lab.dealer() if SOURCE == "dealer" else None
    at = dealer.address if dealer else None
    lines = lambda model: f'pool = 3\n{"pool_folder = %spool%s" % (chr(34), chr(34)) if not at else ""}\n[[models]]\nname = "m"\nmodel = "{model}"\n'
    config = lab.server_config(lines("texts"), dealer=at)
    server = lab.start("serve", config)
    texts = ["the client sees neither", "a share is one of two numbers", "weight"]
    args = [x for t in texts for x in ("--text", t)]
    pools = 'pool = 3\npool_folder = "%s-pool"\n' if not at else "%s"
    clients = [lab.client_config(n, server.address, 'lexicon = "texts-lexicon"\n' + (pools % n if not at else ""), dealer=at) for n in ("client", "second")]
    known = {}
    for model in ("texts", "other"):
        lab.server_config(lines(model), at=server.address, dealer=at); server.send_signal(10); time.sleep(1.5)
        done = lab.infer(clients[0], "--json", *args)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        known[found["setup"]["model"]] = [r["embedding"] for r in found["results"]]
    print("models", [k[:12] for k in known])
    over, wrong, codes, right = time.time() + LIFE, [], {}, [0]

    def work(config):
        while time.time() < over:
            done = lab.infer(config, "--json", *args * 3)
            codes[done.returncode] = codes.get(done.returncode, 0) + 1
            if done.returncode == 0:
                found = json.loads(done.stdout)
                for i, r in enumerate(found["results"]):
                    name = found["setup"]["model"]
                    due = known[name][i % len(texts)]
                    if max(abs(a - b) for a, b in zip(due, r["embedding"])) > 0.08:
                        wrong.append((name, i, r["embedding"][:3], due[:3]))
                    right[0] += 1
            elif "panicked" in done.stderr:
                wrong.append(done.stderr)

    threads = [threading.Thread(target=work, args=(c,)) for c in clients]
    [t.start() for t in threads]
    turns = 0
    while time.time() < over:
        lab.server_config(lines(random.choice(["texts", "other", "nowhere"])), at=server.address, dealer=at)
        server.send_signal(10); turns += 1
        time.sleep(random.uniform(0.05, 0.6))
    [t.join() for t in threads]
    log = open(server.log).read()
    tags = __import__("re").findall(r"waited on the disk, (\w+)", log)
    print(f"{SOURCE}: {turns} reloads, answers {right[0]}, wrong {len(wrong)} {wrong[:2]}, exit codes {codes}, tags {len(tags)} twice {len(tags)-len(set(tags))}, panic {'panicked' in log}, alive {server.poll() is None}")
    print("models that ended", log.count("is not used any more"), "replaced", log.count("is replaced"))
finally:
    lab.stop()
