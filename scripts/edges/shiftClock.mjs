/** Loaded into a program before its own code (`node --import`): its wall clock is SHIFT_MS ahead of the machine's. */
const now = Date.now.bind(Date);
const shiftMs = Number(process.env.SHIFT_MS);
Date.now = () => now() + shiftMs;
