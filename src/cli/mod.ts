/**
 * The door of the command-line layer: what a command is, and `run()`, which runs one. It parses, shows help,
 * output and progress, and maps errors to exit codes. It knows no command: `src/commands/mod.ts` lists them and
 * `main.ts` puts both together with the real world.
 */
export type {
  Command,
  CommandContext,
  CommandDefinition,
  CommandEntry,
  Example,
  Input,
  OptionSpec,
  OptionTable,
  ParsedInput,
} from "./command.ts";
export { defineCommand } from "./command.ts";
export { completionScript, type Shell, SHELLS } from "./completions.ts";
export { commandHelp, shortCommandHelp, shortTopHelp, topHelp } from "./help.ts";
export { AWS_OPTIONS, EVERYWHERE_OPTIONS, STORE_OPTIONS, wholeNumber } from "./options.ts";
export { Output, type OutputEvent, type OutputOptions } from "./output.ts";
export { parseCommand } from "./parse.ts";
export { Progress, type ProgressFacts } from "./progress.ts";
export { recordedLine } from "./recorded_line.ts";
export { type Program, run } from "./run.ts";
export { suggestion } from "./suggest.ts";
export {
  ClosedOutput,
  type Interrupts,
  realTerminal,
  type StopSignal,
  type Terminal,
  type TextStream,
} from "./terminal.ts";
export {
  type Column,
  cutToWidth,
  formatFacts,
  formatTable,
  jsonLine,
  sanitize,
  textWidth,
  wrapText,
} from "./text.ts";
