/**
 * Findings as `verify` shows them: one by one as they come, a thousand at the most, and how many there were. Which there
 * are is the store's business; here they become lines and events.
 */
import type { CommandContext } from "../cli/mod.ts";
import { OperatorError } from "../errors.ts";
import type { EvidenceFinding, Exhibit, Finding } from "../store/mod.ts";
import { formatCount } from "../units.ts";

/** Findings shown; all are counted. */
const SHOWN_FINDINGS = 1000;

/** Shows findings as they come, a thousand at the most. */
export function findingsOf({ out }: CommandContext, exhibit: string) {
  let count = 0;
  return {
    onFinding(finding: Finding | EvidenceFinding): void {
      if (++count > SHOWN_FINDINGS) return;
      out.event({ type: "finding", exhibit, ...finding });
      out.error(new OperatorError("integrity", `${exhibit}: ${finding.message}`));
    },
    end(): { readonly count: number } {
      if (count > SHOWN_FINDINGS) out.note(`and ${formatCount(count - SHOWN_FINDINGS)} more findings`);
      return { count };
    },
  };
}

/** Shows that the source serves a block otherwise than the exhibit has it. */
export function showSourceDiffers(
  { out }: CommandContext,
  exhibit: Exhibit,
  { blockIndex, message }: { readonly blockIndex: number; readonly message: string },
): void {
  const volumeOffsetBytes = blockIndex * exhibit.shape.blockSizeBytes;
  const place = { exhibit: exhibit.id, firstBlock: blockIndex, volumeOffsetBytes };
  out.event({ type: "finding", code: "source_differs", ...place, message });
  const where = `block ${blockIndex} (from byte ${volumeOffsetBytes} of the volume)`;
  out.error(new OperatorError("integrity", `${exhibit.id}: ${where}: ${message}`));
}
