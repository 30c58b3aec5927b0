"""Two clients greet for making and are silent: can a third make a batch?"""
import sys, time
from lab import Lab

lab = Lab(deadline=int(sys.argv[1]) if len(sys.argv) > 1 else 30)
try:
    lab.pictures()
    server = lab.start("serve", lab.server_config('model = "tiny"\nmemory = 600\n'))
    third = lab.client_config("third", server.address)
    print("alone:", lab.infer(third, "--limit", "1", lab.path("images.bin")).returncode)
    life = 110
    held = [lab.probe(name, server.address, "hold", 8, life, wait=False) for name in ("client", "second")]
    time.sleep(2)
    begun = time.time()
    tried = []
    while time.time() - begun < life - 10:
        done = lab.infer(third, "--limit", "1", lab.path("images.bin"))
        tried.append((round(time.time() - begun, 1), done.returncode, done.stderr.strip()[-120:]))
        time.sleep(1)
    good = [t for t, code, _ in tried if code == 0]
    print(f"{len(tried)} tries of an honest client in {life - 10} s, {len(good)} served at {good[:5]}; last: {tried[-1]}")
    for process in held:
        print(process.communicate()[0][-700:])
finally:
    lab.stop()
