/** What the record of acquisitions tells of their sessions, read from a plain store's files. */

export interface RecordedSession {
  readonly credentialSource: string | null;
  readonly clockSkewMs: number | null;
  readonly credentialChanges: number;
  readonly outcome: string;
  readonly events: readonly { readonly kind: string; readonly detail: string }[];
}

/** All sessions, in the order in which they were. */
export function sessionsOf(store: string): RecordedSession[] {
  const documents = [...Deno.readDirSync(`${store}/documents`)].map(({ name }) =>
    JSON.parse(Deno.readTextFileSync(`${store}/documents/${name}`))
  );
  return documents.filter(({ type }) => type === "coldcase-sessions").flatMap(({ sessions }) => sessions);
}
