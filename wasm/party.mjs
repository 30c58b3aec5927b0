// Runs a client party of the demo model in Node against recorded messages of a server, and compares all that it sends and its
// logits, bit for bit: node wasm/party.mjs MODULE RECORDING
import { readFileSync } from "node:fs";

const [wasm, recording] = process.argv.slice(2).map((path) => readFileSync(path));
const module = new WebAssembly.Module(wasm);
const imports = WebAssembly.Module.imports(module);
check(imports.length === 0, `the module imports ${JSON.stringify(imports)}`);
const { memory, inbox, outbox, outbox_len, begin, turn, receive } = new WebAssembly.Instance(module).exports;

function check(holds, otherwise) {
  if (holds) return;
  console.error(otherwise);
  process.exit(1);
}

let at = 0;
// The recording's next part; its length stands before it.
function part() {
  const start = at + 4;
  at = start + recording.readUInt32LE(at);
  return recording.subarray(start, at);
}

function hand(bytes) {
  const to = inbox(bytes.length);
  new Uint8Array(memory.buffer, to, bytes.length).set(bytes);
}

// A copy: the memory moves when it grows.
const given = () => Buffer.from(new Uint8Array(memory.buffer, outbox(), outbox_len()));
const done = (code, what) => check(code === 0, `${what}: ${code === 0 || given().toString()}`);

const start = performance.now();
for (let i = 0; i < 5; i++) part();
hand(recording.subarray(0, at));
done(begin(), "begin");
const begun = performance.now();
let [flights, sent, got] = [0, 0, 0];
for (;;) {
  const due = turn();
  check(due !== -1, `turn: ${given()}`);
  const ours = given();
  if (due === -2) {
    check(ours.equals(part()), "other logits than the native client's");
    check(at === recording.length, "the evaluation is over before the recording");
    const logits = Array.from({ length: ours.length / 8 }, (_, i) => ours.readDoubleLE(8 * i));
    const seconds = [begun - start, performance.now() - begun].map((ms) => (ms / 1e3).toFixed(2));
    console.log(`no imports; ${flights} flights, ${sent} bytes sent and ${got} received; begun in ${seconds[0]} s, evaluated in ${seconds[1]} s`);
    console.log(`every message and all ${logits.length} logits are the native client's: ${logits.map((x) => x.toFixed(4)).join(" ")}`);
    break;
  }
  check(ours.equals(part()), `flight ${flights}: another message than the native client's`);
  const theirs = part();
  check(theirs.length === due, `flight ${flights}: ${due} bytes are due, ${theirs.length} were recorded`);
  flights += 1;
  sent += ours.length;
  got += due;
  if (due > 0) {
    if (flights === 1) {
      hand(theirs.subarray(1));
      check(receive() === -1, "a message that is too short was taken");
    }
    hand(theirs);
    done(receive(), `flight ${flights}`);
  }
}
