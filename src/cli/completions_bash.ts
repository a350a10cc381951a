/**
 * Completions for bash, 3.2 (macOS) and later, with no need of the bash-completion package. A function of its own: the
 * words of the command line say what comes next; `--option=VALUE` arrives cut at the equals sign.
 */
import {
  type CompletedCommand,
  type CompletedOption,
  type CompletedValue,
  TOP_WORDS,
} from "./completions_words.ts";

export function bashCompletions(commands: readonly CompletedCommand[]): string {
  const names = [...commands.map(({ name }) => name), ...TOP_WORDS].join(" ");
  return `# coldcase for bash: source <(coldcase completions bash)
_coldcase() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD - 1]} words= files=
  if [[ $word == "=" ]]; then
    word=
  elif [[ $before == "=" ]]; then
    before=\${COMP_WORDS[COMP_CWORD - 2]}
  fi
  if ((COMP_CWORD == 1)); then
    words="${names}"
  else
    case \${COMP_WORDS[1]} in
      help) words="${commands.map(({ name }) => name).join(" ")}" ;;
${commands.map(commandCase).join("\n")}
    esac
  fi
  local IFS=$'\\n'
  COMPREPLY=()
  case $files in
    files) COMPREPLY=($(compgen -f -- "$word")) ;;
    folders) COMPREPLY=($(compgen -d -- "$word")) ;;
    *) COMPREPLY=($(compgen -W "\${words// /$IFS}" -- "$word")) ;;
  esac
  [[ -z $files ]] || compopt -o filenames 2>/dev/null || :
}
complete -F _coldcase coldcase
`;
}

function commandCase({ name, options, argument }: CompletedCommand): string {
  const withValue = options.flatMap((option) =>
    option.value ? [`          ${typed(option).join(" | ")}) ${offer(option.value)} ;;`] : []
  );
  const flags = options.map(({ long }) => `--${long}`).join(" ");
  return `      ${name})
        case $before in
${withValue.join("\n")}
          *)
            if [[ $word == -* ]]; then
              words="${flags}"
            else
              ${offer(argument)}
            fi
            ;;
        esac
        ;;`;
}

function typed({ long, short }: CompletedOption): string[] {
  return [`--${long}`, ...(short ? [`-${short}`] : [])];
}

function offer(value: CompletedValue): string {
  switch (value.kind) {
    case "file":
      return "files=files";
    case "folder":
      return "files=folders";
    case "choice":
      return `words="${value.choices.join(" ")}"`;
    case "other":
      return ":";
  }
}
