"""A client finds all that waits on the disk over many links and opens none: can another make, and wake its own?"""
import sys, time
from lab import Lab
lab = Lab(deadline=10)
try:
    lab.texts()
    server = lab.start("serve", lab.server_config('model = "texts"\npool = 24\npool_folder = "pool"\n'))
    config = {n: lab.client_config(n, server.address, f'pool = 24\npool_folder = "{n}-pool"\nlexicon = "texts-lexicon"\n') for n in ("client", "second")}
    for n in config:
        print("fill", lab.infer(config[n], "--fill", "--lengths", "6").returncode)
    third = lab.client_config("third", server.address, 'lexicon = "texts-lexicon"\n')
    for more in ([], [1]):
        attack = lab.probe("client", server.address, "wake", 14, 40, 6, *more, wait=False, env={"TAGS": lab.path("client-pool")})
        time.sleep(3)
        for n, c in (("wakes", config["second"]), ("makes", third), ("wakes", config["second"]), ("makes", third)):
            done = lab.infer(c, "--text", "the client sees neither")
            print(f"  another {n}: exit {done.returncode}, {done.took:.1f} s {done.stderr.strip()[-100:]}")
        print(attack.communicate()[0])
    print("panic", "panicked" in open(server.log).read())
finally:
    lab.stop()
