"""Two clients set their links for making up slowly, for as long as it takes: is a third starved for good? `slow_links.py [DEADLINE [LIFE [BREATH]]]`"""
import sys, time
from lab import Lab

deadline, life, breath = (list(map(int, sys.argv[1:])) + [30, 400, 27][len(sys.argv) - 1:])[:3]
lab = Lab(deadline=deadline)
try:
    lab.pictures()
    server = lab.start("serve", lab.server_config('model = "tiny"\nmemory = 600\n'))
    third = lab.client_config("third", server.address)
    print("alone:", lab.infer(third, "--limit", "1", lab.path("images.bin")).returncode)
    held = [lab.probe(name, server.address, "slow", 6, life, breath, wait=False) for name in ("client", "second")]
    time.sleep(3)
    begun, tried = time.time(), []
    while time.time() - begun < life - deadline:
        done = lab.infer(third, "--limit", "1", lab.path("images.bin"))
        tried.append((round(time.time() - begun, 1), done.returncode))
        time.sleep(0.5)
    print(f"{len(tried)} tries of an honest client in {life - deadline} s, {sum(1 for t in tried if t[1] == 0)} served; {tried}; {done.stderr.strip()[-120:]}")
    for process in held:
        print(process.communicate()[0][-500:])
finally:
    lab.stop()
