/** One thread of flips.ts: does the share that it is sent, answers with its counts, and is ended by who made it. */
import { type FlipOrder, flipShare } from "./flips.ts";

const thread = globalThis as unknown as {
  onmessage: (event: MessageEvent<FlipOrder>) => void;
  postMessage(message: unknown): void;
};

// Said once it can hear: what is sent while its imports are still being awaited is lost (Deno 2.9.6, measured).
thread.onmessage = async ({ data }) => thread.postMessage(await flipShare(data));
thread.postMessage("ready");
