"""Copies, swaps, links, pipes and a full disk in the pools' folders: every answer right, no tag twice, no hang, no panic."""
import json, os, re, shutil, subprocess, sys, time
from lab import Lab

TEXT = ["--text", "the client sees neither"]


def tags(*logs):
    return [t for log in logs for t in re.findall(r"waited on the disk, (\w+)", open(log).read())]


def answers(done):
    try:
        return [r["embedding"][:3] for r in json.loads(done.stdout)["results"]]
    except Exception:
        return None


def scene(lines="", pool=6):
    lab = Lab(deadline=4)
    lab.texts()
    config = lab.server_config(f'model = "texts"\npool = {pool}\npool_folder = "pool"\n{lines}')
    server = lab.start("serve", config)
    clients = {n: lab.client_config(n, server.address, f'pool = {pool}\npool_folder = "{n}-pool"\nlexicon = "texts-lexicon"\n') for n in ("client", "second")}
    return lab, server, clients


def near(a, b):
    return a is not None and all(abs(x - y) < 0.05 for one, other in zip(a, b) for x, y in zip(one, other))


def fill(lab, config):
    done = lab.infer(config, "--fill", "--lengths", "6")
    return done


def replica():
    lab, server, clients = scene(pool=8)
    try:
        right = answers(lab.infer(clients["client"], "--json", *TEXT))
        fill(lab, clients["client"])
        text = open(clients["client"]).read()
        for i in "23":
            for end in ("", ".keys"):
                shutil.copytree(lab.path("client-pool" + end), lab.path(f"copy{i}" + end))
            lab.write(f"client{i}.toml", text.replace("client-pool", f"copy{i}"))
        runs = [subprocess.Popen([os.environ["SOTTO"], "infer", "--json", "--config", lab.path(f"client{i}.toml"), *TEXT * 4],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for i in ("", "2", "3")]
        for run in runs:
            run.stdout_text, err = run.communicate()
            found = [r["embedding"][:3] for r in json.loads(run.stdout_text)["results"]]
            print("  replica: exit", run.returncode, "right", near(found, right * 4), err.strip()[-100:])
        all_tags = tags(server.log)
        print("  tags", len(all_tags), "twice", len(all_tags) - len(set(all_tags)))
    finally:
        lab.stop()


def swapped():
    lab, server, clients = scene()
    try:
        right = answers(lab.infer(clients["client"], "--json", *TEXT))
        for c in clients.values():
            fill(lab, c)
        for end in ("", ".keys"):
            a, b, c = lab.path("client-pool" + end), lab.path("second-pool" + end), lab.path("x" + end)
            os.rename(a, c); os.rename(b, a); os.rename(c, b)
        done = lab.infer(clients["client"], "--json", *TEXT)
        print("  folders swapped: exit", done.returncode, done.stderr.strip()[-150:])
        for name in ("client-pool", "second-pool"):
            os.remove(lab.path(name, "owner"))
        done = lab.infer(clients["client"], "--json", *TEXT * 2)
        print("  .. and owners taken away: exit", done.returncode, near(answers(done) or None, (right or []) * 2), done.stderr.strip()[-150:])
        print("  twice", len(tags(server.log)) - len(set(tags(server.log))))
    finally:
        lab.stop()


def odd(which):
    lab, server, clients = scene()
    try:
        right = answers(lab.infer(clients["client"], "--json", *TEXT))
        fill(lab, clients["client"])
        side = "client-pool" if which.startswith("client") else "pool"
        batches = sorted(n for n in os.listdir(lab.path(side)) if n.endswith(".batch"))
        keys = sorted(n for n in os.listdir(lab.path(side + ".keys")) if n.endswith(".key"))
        kind = which.split()[1]
        for folder, names in ((side, batches), (side + ".keys", keys)):
            for i, name in enumerate(names):
                path = lab.path(folder, name)
                other = lab.path(folder, names[(i + 1) % len(names)])
                if kind == "pipes":
                    os.remove(path); os.mkfifo(path)
                elif kind == "links" :
                    os.rename(path, path + "-was"); os.symlink(path + "-was", path)
                elif kind == "hard":
                    os.link(path, path + "-was")
                elif kind == "folders":
                    os.remove(path); os.mkdir(path)
                elif kind == "zero":
                    os.remove(path); os.symlink("/dev/zero", path)
                elif kind == "rotated" and i == 0:
                    held = [open(lab.path(folder, n), "rb").read() for n in names]
                    for n, data in zip(names, held[1:] + held[:1]):
                        open(lab.path(folder, n), "wb").write(data)
                elif kind == "cut":
                    os.truncate(path, os.path.getsize(path) // 2)
                elif kind == "onlykeys" and folder.endswith("pool"):
                    pass
        for again in range(2):
            begun = time.time()
            try:
                done = lab.infer(clients["client"], "--json", *TEXT * 2, timeout=60)
                print(f"  {which} {again}: exit {done.returncode}, {time.time()-begun:.1f} s, right {near(answers(done), right * 2) if done.returncode == 0 else None} {done.stderr.strip()[-130:]!r}")
            except subprocess.TimeoutExpired:
                print(f"  {which}: HANGS")
            if not again and side == "pool":
                at = server.address
                server.terminate()
                try:
                    server.wait(20)
                except subprocess.TimeoutExpired:
                    print("  the server does not stop")
                text = open(lab.path("server.toml")).read().replace("127.0.0.1:0", at)
                try:
                    server = lab.start("serve", lab.write("server.toml", text))
                except RuntimeError as e:
                    print("  restart:", str(e)[-200:])
                    return
        print("  twice", len(tags(server.log)) - len(set(tags(server.log))), "panic", "panicked" in open(server.log).read())
    finally:
        lab.stop()


def full(side):
    lab = Lab(deadline=4)
    mounted = lab.path("small")
    os.mkdir(mounted)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k,mode=700", "none", mounted], check=True)
    try:
        lab.texts()
        pool = {"server": ["small/pool", "mine"], "client": ["pool", "small/mine"]}[side]
        server = lab.start("serve", lab.server_config(f'model = "texts"\npool = 9\npool_folder = "{pool[0]}"\n'))
        c = lab.client_config("client", server.address, f'pool = 9\npool_folder = "{pool[1]}"\nlexicon = "texts-lexicon"\n')
        done = fill(lab, c)
        print(f"  full {side}: fill exit {done.returncode} {done.stderr.strip()[-200:]!r}")
        left = {n: len([x for x in os.listdir(lab.path(n)) if x.endswith((".batch", ".part"))]) for n in pool}
        print("   files", left, [os.path.basename(x) for n in pool for x in os.listdir(lab.path(n)) if x.endswith(".part")])
        done = lab.infer(c, "--json", *TEXT * 3)
        print("   then: exit", done.returncode, done.stderr.strip()[-150:], "twice", len(tags(server.log)) - len(set(tags(server.log))), "lines of the log", len(open(server.log).readlines()))
    finally:
        lab.stop()
        subprocess.run(["umount", mounted])


if __name__ == "__main__":
    replica()
    swapped()
    for side in ("client", "server"):
        for kind in ("pipes", "links", "hard", "folders", "zero", "rotated", "cut"):
            try:
                odd(f"{side} {kind}")
            except Exception as e:
                print("  failed", side, kind, repr(e)[:200])
    for side in ("server", "client"):
        full(side)
