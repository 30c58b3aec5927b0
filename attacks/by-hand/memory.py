"""What a server takes beside what `memory` says: links for making that are set up, and batches in the making. `memory.py MODEL MEMORY LINKS VERB SECONDS [LENGTH ..]`"""
import os, sys, time
from lab import Lab, memory

model, MEM, links, verb, life, *lengths = sys.argv[1:]
lab = Lab(deadline=30)
try:
    if model == "texts":
        lab.texts()
    elif model.startswith("big"):
        lab.texts(); lab.large_texts("big", *map(int, model.split(":")[1:])); model = "big"
    server = lab.start("serve", lab.server_config(f'model = "{model}"\nmemory = {MEM}\n' + os.environ.get("LINES_MORE", "")))
    print(f"at the start {memory(server.pid):.0f} MiB")
    probes = [lab.probe(n, server.address, verb, links, life, *lengths, wait=False) for n in lab.clients]
    begun = time.time()
    most = 0
    while any(p.poll() is None for p in probes):
        now = memory(server.pid)
        if now > most * 1.02:
            most = now
            print(f"  {time.time()-begun:5.1f} s: {now:.0f} MiB")
        time.sleep(0.2)
    print(f"peak {memory(server.pid, 'VmHWM'):.0f} MiB of `memory = {MEM}`")
    for p in probes:
        print(p.communicate()[0].strip()[-330:])
finally:
    lab.stop()
