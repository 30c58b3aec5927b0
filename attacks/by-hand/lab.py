"""Parties on loopback, for attacks by hand. SOTTO is the program, PROBES the folder of `probe` and `models`."""
import os, shutil, subprocess, tempfile, time, re

SOTTO = os.environ.get("SOTTO", "sotto")
PROBES = os.environ.get("PROBES", "target/release")
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


class Lab:
    def __init__(self, deadline=6, clients=("client", "second", "third"), source="peer"):
        self.dir = tempfile.mkdtemp(prefix="attack-")
        self.deadline, self.clients, self.source = deadline, clients, source
        self.started = []
        self.runs = 0
        for name in ("server", "dealer") + tuple(clients):
            self.must("keygen", name, "--out", self.dir)

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def sotto(self, *args, env=None, timeout=580):
        done = subprocess.run([SOTTO, *args], capture_output=True, text=True, cwd=self.dir, timeout=timeout,
                              env={**os.environ, **(env or {})})
        return done

    def must(self, *args, **k):
        done = self.sotto(*args, **k)
        assert done.returncode == 0, (args, done.stderr)
        return done

    def probe(self, name, at, *args, wait=True, env=None):
        command = [os.path.join(PROBES, "probe"), self.dir, name, at, *map(str, args)]
        started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                   env={**os.environ, "SOURCE": self.source, **(env or {})})
        self.started.append(started)
        return started.communicate()[0] if wait else started

    def write(self, name, text):
        with open(self.path(name), "w") as file:
            file.write(text)
        return self.path(name)

    def own(self, name, listen=None):
        at = f'listen = "{listen}"\n' if listen else ""
        return f'[own]\nname = "{name}"\nkeys = "."\n{at}network = "loopback"\ndeadline = {self.deadline}\n'

    def server_config(self, lines, at="127.0.0.1:0", per_client="", dealer=None):
        text = (f'source = "{self.source}"\n' if self.source != "dealer" else "") + lines + "\n" + self.own("server", at)
        if dealer:
            text += f'[dealer]\nname = "dealer"\ncertificate = "dealer.cert"\naddress = "{dealer}"\n'
        for name in self.clients:
            text += f'[[clients]]\nname = "{name}"\ncertificate = "{name}.cert"\n{per_client}'
        return self.write("server.toml", text)

    def client_config(self, name, server, lines="", dealer=None):
        text = (f'source = "{self.source}"\n' if self.source != "dealer" else "") + lines + "\n" + self.own(name)
        text += f'[server]\nname = "server"\ncertificate = "server.cert"\naddress = "{server}"\n'
        if dealer:
            text += f'[dealer]\nname = "dealer"\ncertificate = "dealer.cert"\naddress = "{dealer}"\n'
        return self.write(f"{name}.toml", text)

    def start(self, verb, config, env=None, log=None):
        self.runs += 1
        log = self.path(log or f"{verb}{self.runs}.log")
        out = open(log, "w")
        env = {**os.environ, "SOTTO_LOG": "info", **(env or {})}
        process = subprocess.Popen([SOTTO, verb, "--config", config], stdout=out, stderr=out, cwd=self.dir, env=env)
        process.log = log
        self.started.append(process)
        for _ in range(600):
            found = re.search(r"listening on (\S+)", open(log).read())
            if found:
                process.address = found.group(1)
                return process
            if process.poll() is not None:
                raise RuntimeError(open(log).read())
            time.sleep(0.05)
        raise RuntimeError(open(log).read())

    def dealer(self):
        text = self.own("dealer", "127.0.0.1:0") + '[[servers]]\nname = "server"\ncertificate = "server.cert"\n'
        for name in self.clients:
            text += f'[[clients]]\nname = "{name}"\ncertificate = "{name}.cert"\n'
        return self.start("deal", self.write("dealer.toml", text))

    def pictures(self):
        self.tiny = self.path("tiny")
        subprocess.run([os.path.join(PROBES, "models"), "pictures", self.tiny], check=True)
        images = self.path("images.bin")
        if not os.path.exists(images):
            shutil.copy(os.path.join(ROOT, "models/demo/images.bin"), images)
        self.must("calibrate", self.tiny, "--images", images, "--count", "16")

    def texts(self):
        words = "a the dealer server client sees neither picture nor weight share is one of two numbers".split()
        lines = []
        for i in range(100):
            lines.append(" ".join(words[(i * 5 + j * (1 + i % 3)) % 16] for j in range(1 + i % 14)))
        self.write("samples.txt", "\n".join(lines) + "\n")
        self.must("import", os.path.join(ROOT, "cli/tests/tiny"), "--out", self.path("texts"))
        self.must("calibrate", self.path("texts"), "--text", self.path("samples.txt"))
        self.must("lexicon", self.path("texts"), "--out", self.path("texts-lexicon"))

    def large_texts(self, name, width, layers, positions):
        subprocess.run([os.path.join(PROBES, "models"), "texts", self.path("texts"), self.path(name), str(width),
                        str(layers), str(positions)], check=True)
        self.must("calibrate", self.path(name), "--text", self.path("samples.txt"), "--force")
        self.must("lexicon", self.path(name), "--out", self.path(name + "-lexicon"))

    def infer(self, config, *args, env=None, timeout=580):
        begun = time.time()
        done = self.sotto("infer", "--config", config, *args, env=env, timeout=timeout)
        done.took = time.time() - begun
        return done

    def stop(self):
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait()


def memory(pid, what="VmRSS"):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith(what):
            return int(line.split()[1]) / 1024


def cpu(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
