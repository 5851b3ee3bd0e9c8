// What our scripts have in common: telling in JSON lines with the monotonic clock's time, and taking orders from stdin.
import { createInterface } from 'node:readline';

export const now = () => Number(process.hrtime.bigint()) / 1e9;

/** Tells one thing; `at` is when it happened. */
export function tell(told, at = now()) {
  process.stdout.write(`${JSON.stringify({ ...told, at })}\n`);
}

/** Calls with every order; the program ends with its stdin. */
export function orders(obey) {
  const lines = createInterface({ input: process.stdin });
  lines.on('line', (line) => obey(JSON.parse(line)));
  lines.on('close', () => process.exit(0));
}

/** Runs a client to its end, and tells how that was. */
export async function told(client) {
  try {
    await client();
    tell({ end: true });
  } catch (error) {
    tell({ error: `${error?.name}: ${error?.message} ${error?.cause?.message ?? ''}` });
  }
}
