/** Rows of imports and reconciliations, put into messages of a bounded size. */

import { checkedMessage, type Input } from "./checks.js";
import { SlaTrackingImport } from "./stubs/slad/v1/sla_backend.js";

/** Open tickets: an array, or something that yields them as they are read. */
export type Rows = Iterable<Input<SlaTrackingImport>> | AsyncIterable<Input<SlaTrackingImport>>;

/** slad takes messages of up to 4 MiB. */
const MAX_BYTES = 1 << 20;
const MAX_ROWS = 1_000;

/** The rows, checked, in groups that fit into a message. Raises InvalidArgument with the row's place in the whole. */
export async function* groups(rows: Rows): AsyncGenerator<SlaTrackingImport[]> {
  let group: SlaTrackingImport[] = [];
  let bytes = 0;
  let place = 0;
  for await (const row of rows) {
    const checked = SlaTrackingImport.fromPartial(
      checkedMessage("SlaTrackingImport", row, `trackings[${place}]`),
    );
    const size = SlaTrackingImport.encode(checked).finish().length;
    if (group.length > 0 && (group.length >= MAX_ROWS || bytes + size > MAX_BYTES)) {
      yield group;
      group = [];
      bytes = 0;
    }
    group.push(checked);
    bytes += size;
    place += 1;
  }
  if (group.length > 0) {
    yield group;
  }
}
