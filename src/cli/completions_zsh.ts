/**
 * Completions for zsh: a function for its own completion system, which shows the summaries of commands and options. It
 * works as the file `_coldcase` in a folder of `fpath`, and sourced.
 */
import type { CompletedCommand, CompletedOption, CompletedValue } from "./completions_words.ts";

export function zshCompletions(commands: readonly CompletedCommand[]): string {
  return `#compdef coldcase
# coldcase for zsh: source <(coldcase completions zsh), after compinit

_coldcase() {
  local curcontext=$curcontext context state state_descr line
  typeset -A opt_args
  local -a commands
  commands=(
${commands.map(({ name, summary }) => `    ${quoted(`${name}:${summary}`)}`).join("\n")}
    'help:all of the help for a command'
  )
  _arguments -C '(- *)'{-h,--help}'[help]' '(- *)'{-V,--version}'[print the version]' \\
    '1: :->command' '*:: :->rest' && return
  case $state in
    command) _describe -t commands command commands ;;
    rest)
      case $words[1] in
        help) _describe -t commands command commands ;;
${commands.map(commandCase).join("\n")}
      esac
      ;;
  esac
}

if [[ $funcstack[1] == _coldcase ]]; then
  _coldcase "$@"
else
  compdef _coldcase coldcase
fi
`;
}

function commandCase({ name, options, argument }: CompletedCommand): string {
  // An argument that has nothing to offer would keep zsh from inserting the only option that fits.
  const given = argument.kind === "other" ? [] : [quoted(`*:${argument.placeholder}:${action(argument)}`)];
  return `        ${name})
          _arguments -s -S \\
${[...options.map(optionLine), ...given].map((line) => `            ${line}`).join(" \\\n")}
          ;;`;
}

/** One specification for both names; given once, neither is offered again. */
function optionLine({ long, short, summary, value, isRepeatable }: CompletedOption): string {
  const names = [...(short ? [`-${short}`] : []), `--${long}`];
  const said = `[${escaped(summary)}]`;
  const wanted = value ? `:${escaped(value.placeholder)}:${action(value)}` : "";
  const once = isRepeatable ? "*" : `(${names.join(" ")})`;
  const [only] = names;
  if (names.length === 1) {
    return quoted(`${isRepeatable ? "*" : ""}${only}${value ? "=" : ""}${said}${wanted}`);
  }
  const braces = names.map((one) => `${one}${value ? (one.startsWith("--") ? "=" : "+") : ""}`).join(",");
  return `${quoted(once)}{${braces}}${quoted(`${said}${wanted}`)}`;
}

function action(value: CompletedValue): string {
  switch (value.kind) {
    case "file":
      return "_files";
    case "folder":
      return "_files -/";
    case "choice":
      return `(${value.choices.join(" ")})`;
    case "other":
      return " ";
  }
}

/** Brackets and colons end a description. */
function escaped(text: string): string {
  return text.replace(/[\\[\]:]/g, (character) => `\\${character}`);
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
