/**
 * Builds the real world (clock, randomness, disk, terminal, signals), runs the command line, exits with its
 * code. Nothing else.
 */
import config from "./deno.json" with { type: "json" };
import { versionOf } from "./src/build.ts";
import { type Interrupts, realTerminal, run, type StopSignal } from "./src/cli/mod.ts";
import { COMMANDS, versionText } from "./src/commands/mod.ts";
import { realWorld } from "./src/world.ts";

const SIGNALS: readonly StopSignal[] = Deno.build.os === "windows"
  ? ["SIGINT", "SIGHUP"]
  : ["SIGINT", "SIGTERM", "SIGHUP"];

const interrupts: Interrupts = {
  listen(onSignal) {
    const listeners = SIGNALS.map((name) => [name, () => onSignal(name)] as const);
    for (const [name, listener] of listeners) Deno.addSignalListener(name, listener);
    return () => {
      for (const [name, listener] of listeners) Deno.removeSignalListener(name, listener);
    };
  },
  exitNow: (exitCode) => Deno.exit(exitCode),
};

if (import.meta.main) {
  const world = realWorld();
  const exitCode = await run(Deno.args, {
    commands: COMMANDS,
    version: versionOf(config.version),
    versionText: () => versionText(config.version, world),
    world,
    terminal: realTerminal(),
    interrupts,
  });
  Deno.exit(exitCode);
}
