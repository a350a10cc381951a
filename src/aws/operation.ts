/**
 * One operation of an SDK client without the SDK's chain of middleware: written, signed and read by the SDK's own
 * model, signer and protocol, sent through our handler. A volume is millions of requests, and the chain costs each of
 * them more than its signature does (0.15 ms, measured). No retries, no meaning of errors (retry.ts, errors.ts).
 */
import type { EBSClient } from "@aws-sdk/client-ebs";
import type { FetchHandler, SdkResponse } from "./handler.ts";
import type { SdkRequest } from "./wire.ts";

/** The SDK's description of an operation: kind, namespace, name, traits, input, output. */
type OperationSchema = readonly [number, string, string, unknown, unknown, unknown];

/** An operation's parts, as the SDK's protocols take them. */
interface Schema {
  readonly namespace: string;
  readonly name: string;
  readonly traits: unknown;
  readonly input: unknown;
  readonly output: unknown;
}

/** What is used here of the protocol that the SDK keeps in its configuration, where it has no type. */
interface Protocol<Input, Output> {
  serializeRequest(schema: Schema, input: Input, context: unknown): Promise<SdkRequest>;
  deserializeResponse(schema: Schema, context: unknown, response: SdkResponse): Promise<Output>;
}

export interface OperationOptions {
  readonly client: EBSClient;
  readonly handler: FetchHandler;
  readonly schema: OperationSchema;
}

/** Sends requests of one kind. */
export class Operation<Input, Output> {
  readonly #client: EBSClient;
  readonly #handler: FetchHandler;
  readonly #schema: Schema;
  #prepared: Promise<Prepared<Input, Output>> | undefined;

  constructor({ client, handler, schema: [, namespace, name, traits, input, output] }: OperationOptions) {
    this.#client = client;
    this.#handler = handler;
    this.#schema = { namespace, name, traits, input, output };
  }

  /** One request. Throws what the client's own `send` throws. */
  async send(input: Input, signal: AbortSignal): Promise<Output> {
    const { protocol, context, signer, headers, scope } = await (this.#prepared ??= this.#prepare());
    const request = await protocol.serializeRequest(this.#schema, input, context);
    Object.assign(request.headers, headers);
    const signed = await signer.sign(request, {
      ...scope,
      signingDate: new Date(this.#handler.serviceNowMs),
    });
    const { response } = await this.#handler.handle(signed, { abortSignal: signal });
    try {
      return await protocol.deserializeResponse(this.#schema, context, response);
    } catch (thrown) {
      throw withMetadata(thrown, response);
    }
  }

  async #prepare(): Promise<Prepared<Input, Output>> {
    const { config } = this.#client;
    const { endpoint } = config;
    if (endpoint === undefined) throw new Error("the client was given no endpoint");
    const { hostname, port } = await endpoint();
    const region = await config.region();
    const agent = await config.defaultUserAgentProvider();
    const scope = { signingRegion: region, signingService: config.defaultSigningName };
    const signer = await config.signer({
      name: "sigv4",
      signingName: scope.signingService,
      signingRegion: region,
      properties: {},
    });
    return {
      protocol: config.protocol as unknown as Protocol<Input, Output>,
      context: { ...config, endpoint },
      signer: signer as unknown as Signer,
      headers: {
        host: port === undefined ? hostname : `${hostname}:${port}`,
        "user-agent": agent.map((pair) => pair.join("/")).join(" "),
      },
      scope,
    };
  }
}

interface Scope {
  readonly signingRegion: string;
  readonly signingService: string;
}

interface Signer {
  sign(request: SdkRequest, options: Scope & { readonly signingDate: Date }): Promise<SdkRequest>;
}

/** What is the same in all requests of an operation. */
interface Prepared<Input, Output> {
  readonly protocol: Protocol<Input, Output>;
  /** For the protocol: the client's configuration. */
  readonly context: unknown;
  readonly signer: Signer;
  readonly headers: Readonly<Record<string, string>>;
  readonly scope: Scope;
}

/** An answer that the SDK could not read has its status and request id nevertheless, as `send` would say them. */
function withMetadata(thrown: unknown, { statusCode, headers }: SdkResponse): unknown {
  if (!(thrown instanceof Error) || "$metadata" in thrown) return thrown;
  const $metadata = { httpStatusCode: statusCode, requestId: headers["x-amzn-requestid"] };
  return Object.assign(thrown, { $metadata });
}
