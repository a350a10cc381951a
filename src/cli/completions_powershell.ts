/**
 * Completions for PowerShell, 5.1 and later: a table of commands and options, and a block that looks up what the words
 * before the cursor ask for. Files are left to PowerShell, which completes them where nothing else is offered.
 */
import {
  type CompletedCommand,
  type CompletedOption,
  type CompletedValue,
  TOP_WORDS,
} from "./completions_words.ts";

export function powershellCompletions(commands: readonly CompletedCommand[]): string {
  return `# coldcase for PowerShell: coldcase completions powershell | Out-String | Invoke-Expression
Register-ArgumentCompleter -Native -CommandName coldcase -ScriptBlock {
  param($word, $ast, $position)
  $top = @(${TOP_WORDS.map(quoted).join(", ")})
  $commands = [ordered]@{
${commands.map(commandEntry).join("\n")}
  }
  $before = @($ast.CommandElements | Where-Object { $_.Extent.EndOffset -lt $position } |
    ForEach-Object { $_.Extent.Text })
  $found = [ordered]@{}
  if ($before.Count -le 1) {
    foreach ($name in $commands.Keys) { $found[$name] = $commands[$name].Summary }
    foreach ($name in $top) { $found[$name] = $name }
  } elseif ($before[1] -eq 'help') {
    foreach ($name in $commands.Keys) { $found[$name] = $commands[$name].Summary }
  } elseif ($commands.Contains($before[1])) {
    $command = $commands[$before[1]]
    $last = $before[-1]
    if ($before.Count -gt 2 -and $command.Values.ContainsKey($last)) {
      foreach ($choice in $command.Values[$last]) { $found[$choice] = $choice }
    } elseif ($word.StartsWith('-')) {
      foreach ($name in $command.Options.Keys) { $found[$name] = $command.Options[$name] }
    } else {
      foreach ($choice in $command.Arguments) { $found[$choice] = $choice }
    }
  }
  foreach ($name in $found.Keys) {
    if ($name.StartsWith($word)) {
      [System.Management.Automation.CompletionResult]::new($name, $name, 'ParameterValue', $found[$name])
    }
  }
}
`;
}

function commandEntry({ name, summary, options, argument }: CompletedCommand): string {
  const listed = options.map(({ long, summary }) => `        ${quoted(`--${long}`)} = ${quoted(summary)}`);
  const values = options.flatMap((option) =>
    option.value ? typed(option).map((one) => `        ${quoted(one)} = ${choices(option.value!)}`) : []
  );
  // Names are case-sensitive: \`-r\` and \`-R\` are two options, which a literal hashtable would not hold.
  return `    ${quoted(name)} = @{
      Summary = ${quoted(summary)}
      Arguments = ${choices(argument)}
      Options = [ordered]@{
${listed.join("\n")}
      }
      Values = & {
        $values = [System.Collections.Hashtable]::new([System.StringComparer]::Ordinal)
${values.map((line) => line.replace(/^ {8}('[^']*') = /, "        $values[$1] = ")).join("\n")}
        $values
      }
    }`;
}

function typed({ long, short }: CompletedOption): string[] {
  return [`--${long}`, ...(short ? [`-${short}`] : [])];
}

function choices(value: CompletedValue): string {
  return value.kind === "choice" ? `@(${value.choices.map(quoted).join(", ")})` : "@()";
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
