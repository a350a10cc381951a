/**
 * `completions`: a script that teaches a shell the commands and options. It is made from the tables that the parser
 * reads, touches neither store nor network, and goes to stdout for the shell to read.
 */
import { completionScript, defineCommand, type Shell, SHELLS, suggestion } from "../cli/mod.ts";
import { OperatorError } from "../errors.ts";
import { COMMANDS } from "./mod.ts";

export const completions = defineCommand({
  usage: "SHELL",
  argumentChoices: SHELLS,
  description:
    `Writes to stdout what a shell needs to complete commands, options and the names of files: for ${
      SHELLS.join(", ")
    }.

A shell that completes starts no coldcase and reads no store. Write it anew after an update.`,
  options: {},
  examples: [
    { command: "coldcase completions bash > ~/.coldcase.bash", says: "bash: source that file in ~/.bashrc" },
    {
      command: "coldcase completions zsh > ~/.zfunc/_coldcase",
      says: "zsh: a folder of fpath, before compinit",
    },
    { command: "coldcase completions fish > ~/.config/fish/completions/coldcase.fish", says: "fish" },
    {
      command: "coldcase completions powershell > coldcase.ps1",
      says: "PowerShell: dot-source it in $PROFILE",
    },
  ],
  async run({ out }, { args: [name] }) {
    const shell = SHELLS.find((one): one is Shell => one === name);
    if (shell === undefined) {
      const near = suggestion(name, SHELLS);
      throw new OperatorError("usage", `Cannot complete in "${name}": expected one of ${SHELLS.join(", ")}`, {
        hints: near === undefined ? [] : [near],
      });
    }
    out.result(await completionScript(shell, COMMANDS));
    return 0;
  },
});
