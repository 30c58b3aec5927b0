"""A client that was killed comes again, and a second process of one client comes: short texts, without a dealer."""
import subprocess, time
from lab import Lab, SOTTO
lab = Lab(deadline=30)
try:
    lab.texts()
    server = lab.start("serve", lab.server_config('model = "texts"\n'))
    c = lab.client_config("client", server.address, 'lexicon = "texts-lexicon"\n')
    lab.write("many.txt", "the client sees neither\n" * 6000)
    p = subprocess.Popen([SOTTO, "infer", "--config", c, "--file", lab.path("many.txt")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=lab.dir)
    time.sleep(3); p.kill(); p.wait()
    done = lab.infer(c, "--text", "the client sees neither")
    print("killed, and again:", done.returncode, f"{done.took:.1f} s", done.stderr[-200:])
    p = subprocess.Popen([SOTTO, "infer", "--config", c, "--file", lab.path("many.txt")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=lab.dir)
    lab.started.append(p); time.sleep(3)
    done = lab.infer(c, "--text", "the client sees neither")
    print("a second process of one client:", done.returncode, f"{done.took:.1f} s", done.stderr[-200:])
finally:
    lab.stop()
