"""Two clients hold all lengths of texts by links for making that are greeted and then silent."""
import sys, time
from lab import Lab

lab = Lab(deadline=int(sys.argv[1]) if len(sys.argv) > 1 else 30)
try:
    lab.texts()
    server = lab.start("serve", lab.server_config('model = "texts"\nmemory = 1000\n'))
    third = lab.client_config("third", server.address, 'lexicon = "texts-lexicon"\n')
    ask = lambda: lab.infer(third, "--text", "the client sees neither")
    begun = time.time(); done = ask()
    print("alone:", done.returncode, round(time.time() - begun, 1), done.stderr[-200:])
    life = 110
    held = [lab.probe("client", server.address, "hold", 4, life, 8, 9, 10, 11, wait=False),
            lab.probe("second", server.address, "hold", 4, life, 12, 13, 14, 15, wait=False)]
    time.sleep(8)
    begun = time.time()
    tried = []
    while time.time() - begun < life - 20:
        done = ask()
        tried.append((round(time.time() - begun, 1), done.returncode, done.stderr.strip()[-140:]))
        time.sleep(1)
    good = [t for t, code, _ in tried if code == 0]
    print(f"{len(tried)} tries of an honest client, {len(good)} served at {good[:5]}; last: {tried[-1]}")
    for process in held:
        print(process.communicate()[0][-900:])
    print([l.strip() for l in open(server.log)][-6:])
finally:
    lab.stop()
