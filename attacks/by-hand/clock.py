"""The server's clock is set back by two hours (or ahead by 31 days) over a restart: who is charged for what waits? SHIM is a library that shifts it."""
import os, sys, time
from lab import Lab

POOL = int(sys.argv[1]) if len(sys.argv) > 1 else 10
for shift in (-7200, 31 * 86400):
    lab = Lab()
    try:
        lab.texts()
        lines = f'model = "texts"\npool = {POOL}\npool_folder = "pool"\n'
        server = lab.start("serve", lab.server_config(lines))
        at = server.address
        client = lab.client_config("client", at, f'pool = {POOL}\npool_folder = "mine"\nlexicon = "texts-lexicon"\n')
        print("fill:", lab.infer(client, "--fill", "--lengths", "6").returncode)
        server.terminate(); server.wait()
        server = lab.start("serve", lab.server_config(lines, at=at), env={"LD_PRELOAD": os.environ["SHIM"], "SHIFT": str(shift)})
        begun, said = time.time(), []
        while time.time() - begun < 150:
            done = lab.infer(client, "--text", "the client sees neither")
            said.append((round(time.time() - begun, 1), done.returncode, done.stderr.strip()[-140:]))
            if done.returncode == 0:
                break
            time.sleep(2)
        print(f"clock {shift} s: {len(said)} runs, first {said[0]}, last {said[-1]}")
        print("   ", [line.strip()[-100:] for line in open(server.log) if "burnt" in line][:3])
    finally:
        lab.stop()
