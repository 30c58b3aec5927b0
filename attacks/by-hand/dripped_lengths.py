"""With a dealer: two clients hold all lengths of texts by greetings whose masked weights they read as slowly as is let."""
import sys, time
from lab import Lab

lab = Lab(deadline=int(sys.argv[1]) if len(sys.argv) > 1 else 30, source="dealer")
try:
    lab.texts(); lab.large_texts("big", 384, 6, 64)
    dealer = lab.dealer()
    server = lab.start("serve", lab.server_config('model = "big"\nmemory = 6000\npool = 0\n', dealer=dealer.address))
    third = lab.client_config("third", server.address, 'lexicon = "big-lexicon"\n', dealer=dealer.address)
    ask = lambda: lab.infer(third, "--text", "the client sees neither")
    begun = time.time(); done = ask()
    print("alone:", done.returncode, round(time.time() - begun, 1), done.stderr[-200:])
    life = 110
    held = [lab.probe("client", server.address, "drip", 4, life, 270000, 8, 9, 10, 11, wait=False),
            lab.probe("second", server.address, "drip", 4, life, 270000, 12, 13, 14, 15, wait=False)]
    time.sleep(8)
    begun, tried = time.time(), []
    while time.time() - begun < life - 30:
        done = ask()
        tried.append((round(time.time() - begun, 1), done.returncode, done.stderr.strip()[-140:]))
        time.sleep(1)
    good = [t for t, code, _ in tried if code == 0]
    print(f"{len(tried)} tries of an honest client, {len(good)} served at {good[:5]}; tries: {[t[:2] for t in tried]}; last: {tried[-1]}")
    print([l.strip()[-150:] for l in open(server.log)][:40])
    for process in held:
        print(process.communicate()[0][-700:])
finally:
    lab.stop()
