"""With a dealer: two clients take the masked weights again and again over 16 links each; how long does a third wait?"""
import time
from lab import Lab, cpu
lab = Lab(deadline=30, source="dealer")
try:
    lab.texts(); lab.large_texts("big", 384, 6, 64)
    dealer = lab.dealer()
    server = lab.start("serve", lab.server_config('model = "big"\nmemory = 6000\npool = 0\n', dealer=dealer.address))
    third = lab.client_config("third", server.address, 'lexicon = "big-lexicon"\n', dealer=dealer.address)
    ask = lambda: lab.infer(third, "--text", "the client sees neither")
    print("alone:", ask().took)
    before, begun = cpu(server.pid), time.time()
    held = [lab.probe(n, server.address, "drip", 16, 40, 10**12, 8, wait=False) for n in ("client", "second")]
    time.sleep(4)
    while time.time() - begun < 38:
        done = ask(); print(f"meanwhile: exit {done.returncode}, {done.took:.1f} s {done.stderr.strip()[-100:]}")
    print(f"{cpu(server.pid)-before:.0f} s of processor in {time.time()-begun:.0f} s")
    for p in held:
        print(p.communicate()[0][-160:])
finally:
    lab.stop()
