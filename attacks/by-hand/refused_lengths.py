"""One client asks again and again for a length that is refused after its plan was traced; what does it cost the server, and another client?"""
import sys, time
from lab import Lab, cpu

width, layers, positions, memory = map(int, (sys.argv[1:] + ["384", "6", "512", "3000"])[:4]) if len(sys.argv) > 4 else (384, 6, 512, 3000)
source = sys.argv[5] if len(sys.argv) > 5 else "peer"
lab = Lab(deadline=30, source=source)
try:
    lab.texts()
    lab.large_texts("big", width, layers, positions)
    dealer = lab.dealer() if source == "dealer" else None
    at = dealer.address if dealer else None
    server = lab.start("serve", lab.server_config(f'model = "big"\nmemory = {memory}\n', dealer=at))
    before = cpu(server.pid)
    print("one:", lab.probe("client", server.address, "ask", 1, 1, positions).strip(), f"{cpu(server.pid) - before:.1f} s of the server")
    begun = time.time()
    print("a small new length, alone:", lab.probe("second", server.address, "ask", 1, 1, 5).strip())
    before, begun = cpu(server.pid), time.time()
    attack = lab.probe("client", server.address, "ask", 12, 40, positions, wait=False)
    time.sleep(5)
    for n in (6, 7, 8):
        print("a small new length, meanwhile:", lab.probe("second", server.address, "ask", 1, 1, n).strip())
    print(attack.communicate()[0])
    print(f"{cpu(server.pid) - before:.1f} s of the server's processor in {time.time() - begun:.1f} s")
    print([l.strip()[-160:] for l in open(server.log)][-3:])
finally:
    lab.stop()
