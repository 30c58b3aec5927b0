#!/usr/bin/env python3
"""Models in the clear on every device of this machine, beside PyTorch: one table at the end, unattended, under ten minutes.

    cargo build --release --features gpu,cuda
    python3 benches/gpu/measure.py --program target/release/sotto --out gpu.jsonl [--tests PATH] [--kernels PATH]

Needs Python alone. What is missing on the machine (a card, NVRTC, Vulkan, PyTorch) is named in the table and left out; each step has
a limit. `--tests` is the test program of sotto-gpu (`cargo test --release -p sotto-gpu --features wgpu,cuda --no-run` names it): it
holds every kernel, kind and shape against its definition on this card first. `--kernels` is its example of that name, which times
kernels alone. `--quick` sees that all works, in a minute.
"""

import argparse
import json
import pathlib
import platform
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent
MODELS = {"vit_cifar": [264, 1056], "vit_tiny": [64]}
FEW = {"demo": [2]}


def run(command, limit):
    """What a command printed, or why it printed nothing."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    except (OSError, subprocess.TimeoutExpired) as e:
        return None, f"{type(e).__name__} after at most {limit} s"
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return (done.stdout, None) if done.returncode == 0 else (done.stdout, lines[-1] if lines else f"exit code {done.returncode}")


def card():
    said, _ = run(["nvidia-smi", "--query-gpu=name,driver_version,power.limit", "--format=csv,noheader"], 20)
    return said.strip() if said else None


def reference(options, device, precision, model, batch):
    command = [options.program, "reference", model, "--device", device, "--precision", precision, "--batch", str(batch), "--json"]
    said, why = run(command + (["--limit", "1", "--quick"] if options.quick else ["--limit", "4"]), 90)
    if why:
        return {"missing": why}
    found = json.loads(said)
    return {key: found[key] for key in found if key not in ("results", "launches")}


def torch(device, options):
    """PyTorch's best way by model, precision and batch."""
    if options.quick:
        return {}, "left out of the rehearsal"
    said, why = run([sys.executable, str(HERE / "torch_reference.py"), device, "0.5"], 240)
    best = {}
    for line in (said or "").splitlines():
        found = json.loads(line)
        key = (found["model"], found["precision"], found["batch"])
        if "batch_s" in found and found["batch_s"] < best.get(key, (float("inf"),))[0]:
            best[key] = (found["batch_s"], found["way"])
    return best, why


def lines(said):
    return [json.loads(line) for line in (said or "").splitlines() if line.startswith("{")]


def kernels(options, keep, notes, precision):
    """Kernels alone, twice, beside PyTorch's best in the same minutes, and this card's ceilings by PyTorch."""
    mine, peers, ceilings = {}, {}, None
    for turn in range(1 if options.quick else 2):
        said, why = run([options.kernels, "cuda", precision] + (["--quick"] if options.quick else []), 150)
        for found in lines(said):
            keep("kernel", found)
            mine.setdefault(found["what"], []).append(found)
        if why:
            notes.append(f"kernels alone in {precision}: {why}")
        if turn == 0:
            said, why = run([sys.executable, str(HERE / "torch_kernels.py"), precision], 150)
            for found in lines(said):
                keep("torch kernel", found)
                if "ceilings" in found:
                    ceilings = found
                else:
                    peers[found["what"]] = found
            if why:
                notes.append(f"PyTorch's kernels in {precision}: {why}")
    rows = []
    for what, pair in mine.items():
        times = [found["seconds"] for found in pair]
        floor = ceilings and max(pair[0]["bytes"] / ceilings["bytes"], pair[0]["operations"] / ceilings["operations"])
        peer = peers.get(what)
        rows.append([
            what, precision, pair[0]["shape"], f"{1e6 * min(times):.1f}", f"{100 * floor / min(times):.0f} %" if floor else "-",
            f"{100 * (max(times) / min(times) - 1):.0f} %",
            f"{min(times) / peer['seconds']:.2f} ({peer['way']})" if peer else "-",
        ])
    if ceilings:
        notes.append(f"by PyTorch in {precision}: {1e-12 * ceilings['operations']:.0f} TFLOP/s (8192^3), {1e-12 * ceilings['bytes']:.2f} TB/s (copy of 1 GiB)")
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default="target/release/sotto")
    parser.add_argument("--tests")
    parser.add_argument("--kernels")
    parser.add_argument("--out", default="gpu.jsonl")
    parser.add_argument("--device", action="append", help="these alone: cpu, gpu, cuda")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    begun, out, notes, rows = time.time(), open(options.out, "w"), [], []

    def keep(kind, found):
        out.write(json.dumps({"kind": kind, **found}) + "\n")
        out.flush()

    here = {"date": time.strftime("%Y-%m-%d"), "machine": platform.processor() or platform.machine(), "card": card()}
    keep("machine", here)
    said, why = run([options.program, "reference", "--device", "list", "--json"], 60)
    if why:
        sys.exit(f"{options.program}: {why}")
    devices = {d["device"]: d for d in json.loads(said) if not options.device or d["device"] in options.device}
    for name, found in devices.items():
        keep("device", found)
        if found["missing"]:
            notes.append(f"{name} was not measured: {found['missing']}")
    if options.tests:
        _, why = run([options.tests, "--test-threads", "2"], 150)
        keep("tests", {"failed": why})
        notes.append(f"kernels against their definitions: {why or 'all right'}")
    alone = []
    if options.kernels and "cuda" in devices and not devices["cuda"]["missing"]:
        for precision in ["bf16"] if options.quick else ["bf16", "f16"]:
            alone += kernels(options, keep, notes, precision)
    peers = {}
    there = {name: found for name, found in devices.items() if not found["missing"]}
    for name, found in there.items():
        beside = "cuda" if not found["software"] and name != "cpu" else "cpu"
        if beside not in peers:
            peers[beside] = torch(beside, options)
        best, lack = peers[beside]
        if lack:
            notes.append(f"PyTorch beside {name}: {lack}")
        for model, batches in (FEW if options.quick else MODELS).items():
            for batch in batches if name != "cpu" else [min(batches[0], 64)]:
                for precision in found["precisions"]:
                    # Twice: what differs between the runs is the measurement's own.
                    pair = [reference(options, name, precision, model, batch) for _ in range(1 if options.quick else 2)]
                    for one in pair:
                        keep("reference", {"device": name, "precision": precision, "model": model, "batch": batch, **one})
                    if any("missing" in one for one in pair):
                        notes.append(f"{model} on {name} in {precision}, batch {batch}: {pair[0].get('missing') or pair[-1].get('missing')}")
                        continue
                    def least(name):
                        # Of a device that computes where numbers lie, the time without moving them, as PyTorch's is.
                        return [one[f"{name}_device_s"] or one[f"{name}_s"] for one in pair]

                    times = least("batch")
                    peer, single = best.get((model, precision, batch)), best.get((model, precision, 1))
                    rows.append([
                        model, name, precision, batch, f"{1e6 * min(least('one')):.0f}", f"{1e6 * min(times):.0f}",
                        f"{batch / min(times):.0f}", f"{100 * pair[0]['batch_share']:.0f} %",
                        f"{100 * (max(times) / min(times) - 1):.0f} %",
                        f"{min(least('one')) / single[0]:.2f} ({single[1]})" if single else "-",
                        f"{min(times) / peer[0]:.2f} ({peer[1]})" if peer else "-", f"{pair[0]['largest_error']:.1e}",
                    ])
    if alone:
        header = ["kernel", "precision", "shape", "us", "share of the floor", "spread", "by PyTorch's best"]
        print("| " + " | ".join(header) + " |\n|" + "--|" * len(header))
        for row in alone:
            print("| " + " | ".join(str(cell) for cell in row) + " |")
        print()
    header = ["model", "device", "precision", "batch", "us, one", "us, batch", "images/s", "share", "spread", "one by PyTorch's best", "batch by it", "error"]
    print(f"{here['date']}, {here['card'] or 'no card: not measured on one'}; {time.time() - begun:.0f} s\n")
    print("| " + " | ".join(header) + " |\n|" + "--|" * len(header))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print()
    for name, found in there.items():
        print(f"{name}: {found['name']} ({found['driver']})" + (", played by a processor: no GPU's speed" if found["software"] else ""))
    for note in notes:
        print(f"not in the table or of note: {note}")
    if not rows:
        sys.exit("nothing was measured")


main()
