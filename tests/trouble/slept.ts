/**
 * Preloaded into a real process: when SIGUSR1 comes, the wall clock is two hours further and the monotonic one is not, as on
 * a host that slept.
 */
const real = Date.now;
let sleptMs = 0;
Date.now = () => real() + sleptMs;
Deno.addSignalListener("SIGUSR1", () => sleptMs += 2 * 3_600_000);
