/**
 * What goes wrong between us and the service without the service saying so: no connection, a stall, a
 * page that is not the service's. Internal to this folder: it never reaches a caller of `openSource`, who
 * sees `OperatorError` only.
 */

/**
 * `stalled`: no byte for too long. `redirect`, `html`: somebody else answered (a proxy, a captive portal).
 * `endless`: a body beyond its bound. `discarded`: we dropped it. `damaged`: a block that is not what its
 * headers declare. `malformed`: an answer that is no listing. `pending`: a right answer, that it is not yet time.
 */
export type TroubleKind =
  | "stalled"
  | "redirect"
  | "html"
  | "endless"
  | "discarded"
  | "checksum"
  | "length"
  | "malformed"
  | "pending";

/** An answer that broke off: what happened is its cause; whose answer it was is known from its headers. */
export class BrokenAnswer extends Error {
  override readonly name = "BrokenAnswer";
  readonly requestId: string;

  constructor(cause: unknown, requestId: string) {
    super("the answer broke off", { cause });
    this.requestId = requestId;
  }
}

export class Trouble extends Error {
  override readonly name = "Trouble";
  readonly kind: TroubleKind;
  readonly status: number | undefined;
  readonly requestId: string | undefined;

  constructor(
    kind: TroubleKind,
    message: string,
    facts: { readonly status?: number; readonly requestId?: string | undefined } = {},
  ) {
    super(message);
    this.kind = kind;
    this.status = facts.status;
    this.requestId = facts.requestId;
  }
}
