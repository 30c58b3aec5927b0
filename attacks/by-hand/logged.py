"""Everything at trace: are keys of batches, of pads or of identities in the logs, in hex, decimal lists or base64?"""
import base64, os, time
from lab import Lab
lab = Lab()
try:
    lab.texts()
    env = {"SOTTO_LOG": "trace"}
    server = lab.start("serve", lab.server_config('model = "texts"\npool = 3\npool_folder = "pool"\n'), env=env)
    c = lab.client_config("client", server.address, 'pool = 3\npool_folder = "mine"\nlexicon = "texts-lexicon"\n')
    logs = [lab.infer(c, "--fill", "--lengths", "6", env=env).stderr]
    secrets = []
    for folder in ("pool.keys", "mine.keys"):
        for n in os.listdir(lab.path(folder)):
            data = open(lab.path(folder, n), "rb").read()
            if n.endswith(".key"):
                secrets += [data[-96:-64], data[-64:-32]]
    for n in ("server", "client"):
        pem = open(lab.path(n + ".key")).read().split("-----")[2]
        secrets.append(base64.b64decode(pem)[-32:]); 
    logs.append(lab.infer(c, "--text", "the client sees neither", "--text", "weight", env=env).stderr)
    time.sleep(1)
    logs.append(open(server.log).read())
    found = 0
    for s in secrets:
        forms = [s.hex()[:16], s.hex()[-16:], ", ".join(map(str, s[:6])), base64.b64encode(s[:24]).decode()]
        found += any(f in log for f in forms for log in logs)
    print(len(secrets), "secrets,", sum(map(len, logs)), "bytes of logs, found", found)
finally:
    lab.stop()
