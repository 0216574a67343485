/** What the Node.js peers share: the clock, the record of a started job, the answer of a phase. */
import fs from "node:fs";

const record = Buffer.alloc(16);
let file;

/** Seconds since 1970, to the microsecond. */
export const now = () => (performance.timeOrigin + performance.now()) / 1000;
export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** One job started: two doubles, when it was pushed and now, at the end of $BENCH_LOG. */
export function appendStart(pushed) {
  file ??= fs.openSync(process.env.BENCH_LOG, "a");
  record.writeDoubleLE(pushed, 0);
  record.writeDoubleLE(now(), 8);
  fs.writeSync(file, record);
}

/** Runs a phase of `count` jobs, prints the seconds it took and ends the process. */
export async function report(count, phase) {
  const begin = now();
  await phase(count);
  console.log(JSON.stringify({ count, seconds: now() - begin }));
  process.exit(0);
}
