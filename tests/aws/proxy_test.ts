/** The proxy variables, as curl and AWS's tools read them, and the CA bundles. */
import { assertEquals, assertNotMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { OperatorError } from "../../src/errors.ts";
import { extraAuthorities, proxyFor } from "../../src/aws/proxy.ts";

function proxyOf(url: string, variables: Record<string, string>): string | undefined {
  return proxyFor(new URL(url), (name) => variables[name])?.url;
}

Deno.test("proxyFor() goes by the scheme, lower-case names first", () => {
  const variables = { HTTPS_PROXY: "http://s:1", HTTP_PROXY: "http://h:2" };
  assertEquals(proxyOf("https://x", variables), "http://s:1");
  assertEquals(proxyOf("http://x", variables), "http://h:2");
  assertEquals(proxyOf("https://x", { ...variables, https_proxy: "http://l:3" }), "http://l:3");
  assertEquals(proxyOf("https://x", { ALL_PROXY: "socks5://a:4" }), "socks5://a:4");
  assertEquals(proxyOf("https://x", { HTTPS_PROXY: "bare:3128" }), "http://bare:3128");
  assertEquals(proxyOf("https://x", {}), undefined);
});

Deno.test("proxyFor() keeps the password out of what is shown", () => {
  const variables: Record<string, string> = { HTTPS_PROXY: "http://me:p%40ss@proxy:3128" };
  const proxy = proxyFor(new URL("https://x"), (name) => variables[name]);
  assertEquals(proxy, { url: "http://proxy:3128", basicAuth: { username: "me", password: "p@ss" } });
  const bad = assertThrows(
    () => proxyFor(new URL("https://x"), () => "http://me:hidden@[bad"),
    OperatorError,
  );
  assertNotMatch(`${bad.message}${bad.hints}`, /hidden/);
});

Deno.test("proxyFor() refuses a password with a % that is no escape, without showing it", () => {
  const error = assertThrows(
    () => proxyFor(new URL("https://x"), () => "http://me:100%hidden@proxy:3128"),
    OperatorError,
  );
  assertEquals(error.code, "usage");
  assertNotMatch(`${error.message}${error.hints}`, /hidden/);
});

const EXEMPT: readonly (readonly [string, string, boolean])[] = [
  ["*", "https://any.example", true],
  ["any.example", "https://any.example", true],
  [".example", "https://any.example", true],
  ["example", "https://any.example", true],
  ["*.example", "https://any.example", true],
  ["ny.example", "https://any.example", false],
  ["other, any.example ", "https://any.example", true],
  ["any.example:443", "https://any.example", true],
  ["any.example:8443", "https://any.example", false],
  ["127.0.0.1", "http://127.0.0.1:5000", true],
  ["127.0.0.1:5001", "http://127.0.0.1:5000", false],
  ["[::1]", "http://[::1]:5000", true],
  ["::1", "http://[::1]:5000", true],
  ["ANY.example", "https://any.EXAMPLE", true],
];

for (const [list, url, isExempt] of EXEMPT) {
  Deno.test(`proxyFor() with NO_PROXY "${list}" ${isExempt ? "exempts" : "does not exempt"} ${url}`, () => {
    const variables = { HTTPS_PROXY: "http://p:1", HTTP_PROXY: "http://p:1", NO_PROXY: list };
    assertEquals(proxyOf(url, variables), isExempt ? undefined : "http://p:1");
  });
}

Deno.test("extraAuthorities() refuses a bundle that is missing or holds no certificate", () => {
  const missing = assertThrows(
    () => extraAuthorities((name) => name === "AWS_CA_BUNDLE" ? "/nonexistent.pem" : undefined),
    OperatorError,
  );
  assertStringIncludes(missing.message, `Cannot read CA bundle "/nonexistent.pem" of AWS_CA_BUNDLE`);
  const path = Deno.makeTempFileSync();
  Deno.writeTextFileSync(path, "nothing");
  const empty = assertThrows(
    () => extraAuthorities((name) => name === "NODE_EXTRA_CA_CERTS" ? path : undefined),
    OperatorError,
  );
  assertStringIncludes(empty.message, "it holds no certificate");
  Deno.removeSync(path);
});
