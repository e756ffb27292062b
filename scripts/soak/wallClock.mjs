/**
 * Loaded into a program before its own code (`node --import`): its wall clock is ahead of the machine's by the milliseconds
 * that stand in the file WALL_SHIFT, looked at ten times a second.
 */
import { readFileSync } from "node:fs";

const now = Date.now.bind(Date);
let shiftMs = 0;
Date.now = () => now() + shiftMs;
setInterval(() => {
  try {
    shiftMs = Number(readFileSync(process.env.WALL_SHIFT, "utf8"));
  } catch {
    // it is being written, or nobody has stepped the clock yet
  }
}, 100).unref();
