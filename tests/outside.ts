/**
 * Tests that need a tool from outside: nginx, boto3, e2fsck. Where it is missing the test is skipped, which
 * the runner counts and this prints; under `.ci/run` (COLDCASE_CI=1) a missing tool is a failure, so that no
 * check is lost unnoticed.
 *
 * A need is a program's name, or `py:MODULE` for a module of python3. Programs of administrators (/sbin) and
 * of cargo count as found: `toolPath()` gives the path to start.
 */

/** `PATH`, and where distributions and cargo put programs that are not on it. */
function searchPath(): string[] {
  const home = Deno.env.get("HOME");
  return [
    ...(Deno.env.get("PATH") ?? "").split(":").filter((folder) => folder !== ""),
    "/usr/sbin",
    "/sbin",
    ...(home === undefined ? [] : [`${home}/.cargo/bin`]),
  ];
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return false;
    throw error;
  }
}

/**
 * Where the program lies, undefined where it does not. COLDCASE_PYTHON names the python3 that has the modules:
 * npx puts node's own folder first on PATH, and with it maybe another python3.
 */
export function toolPath(program: string): string | undefined {
  if (program === "python3" && Deno.env.get("COLDCASE_PYTHON")) return Deno.env.get("COLDCASE_PYTHON");
  return searchPath().map((folder) => `${folder}/${program}`).find(isFile);
}

/** Answers of python3, which takes its time to start. */
const pythonModules = new Map<string, boolean>();

function hasPythonModule(module: string): boolean {
  const python = toolPath("python3");
  if (python === undefined) return false;
  const known = pythonModules.get(module) ??
    new Deno.Command(python, {
      args: ["-c", `import importlib.util, sys; sys.exit(importlib.util.find_spec("${module}") is None)`],
      stdout: "null",
      stderr: "null",
    }).outputSync().success;
  pythonModules.set(module, known);
  return known;
}

/** Those of `needs` that this machine does not have. */
export function missingTools(needs: readonly string[]): string[] {
  return needs.filter((need) =>
    need.startsWith("py:") ? !hasPythonModule(need.slice(3)) : toolPath(need) === undefined
  );
}

/** Registers a test that needs what `needs` names. */
export function outside(
  name: string,
  needs: readonly string[],
  fn: (context: Deno.TestContext) => void | Promise<void>,
): void {
  const missing = missingTools(needs).join(", ");
  if (missing === "") {
    Deno.test(name, fn);
  } else if (Deno.env.get("COLDCASE_CI") === "1") {
    Deno.test(name, () => {
      throw new Error(`Cannot run "${name}": ${missing} is missing, expected under .ci/run`);
    });
  } else {
    // deno-lint-ignore no-console
    console.log(`skipped: ${name}: needs ${missing}`);
    Deno.test({ name: `${name} [skipped: needs ${missing}]`, ignore: true, fn });
  }
}

/** Whether this process may mount in a name space of its own: root on Linux, outside most containers. */
export function canMount(): boolean {
  if (Deno.build.os !== "linux" || missingTools(["unshare", "mount"]).length > 0) return false;
  return new Deno.Command(toolPath("unshare")!, { args: ["-m", "true"], stdout: "null", stderr: "null" })
    .outputSync().success;
}

/** The same for a test that mounts; where that isn't allowed it is skipped, under `.ci/run` too. */
export function outsideWithMounts(
  name: string,
  needs: readonly string[],
  fn: (context: Deno.TestContext) => void | Promise<void>,
): void {
  if (canMount()) return outside(name, needs, fn);
  // deno-lint-ignore no-console
  console.log(`skipped: ${name}: needs the right to mount`);
  Deno.test({ name: `${name} [skipped: needs the right to mount]`, ignore: true, fn });
}
