"""Two honest clients embed long files of short texts without a dealer, `memory` as it comes: does a third get one answer?"""
import subprocess, sys, time
from lab import Lab, SOTTO
lab = Lab(deadline=30)
try:
    lab.texts()
    server = lab.start("serve", lab.server_config('model = "texts"\n' + (f'memory = {sys.argv[1]}\n' if sys.argv[1:] else '')))
    configs = {n: lab.client_config(n, server.address, 'lexicon = "texts-lexicon"\n') for n in lab.clients}
    done = lab.infer(configs["third"], "--text", "the client sees neither")
    print("alone: exit", done.returncode, f"{done.took:.1f} s")
    lab.write("many.txt", "the client sees neither\n" * 2000)
    streams = []
    for n in ("client", "second"):
        p = subprocess.Popen([SOTTO, "infer", "--config", configs[n], "--file", lab.path("many.txt")], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=lab.dir)
        lab.started.append(p); streams.append(p)
    time.sleep(3)
    begun = time.time()
    for i in range(3):
        done = lab.infer(configs["third"], "--text", "the client sees neither")
        print(f"{time.time()-begun:.0f} s: exit {done.returncode} after {done.took:.1f} s, {done.stderr.strip()[-150:]}", "streams alive", [p.poll() is None for p in streams])
finally:
    lab.stop()
