"""Lines that one client writes into the server's log (at `warn`, as it comes) by greetings that are refused."""
import time
from lab import Lab, cpu
lab = Lab(deadline=6)
try:
    lab.texts()
    server = lab.start("serve", lab.server_config('model = "texts"\nmemory = 3\n'), env={"SOTTO_LOG": "warn"})
    before, lines = cpu(server.pid), len(open(server.log).readlines())
    print(lab.probe("client", server.address, "ask", 12, 15, 16))
    print(f"{len(open(server.log).readlines()) - lines} lines in 15 s, {cpu(server.pid) - before:.1f} s of processor")
    print(open(server.log).readlines()[-1])
finally:
    lab.stop()
