// What the model itself does, as it says at /demo/state: the proof that it stops when its reader is gone.

const NAMES = ["generating", "completed", "cancelled"];

/** Asks for the counts and shows them. Resolves with them, or with null where they cannot be had. */
export async function refresh() {
  let state;
  try {
    state = await (await fetch("/demo/state", { cache: "no-store" })).json();
  } catch {
    return null;
  }
  for (const name of NAMES) {
    const cell = document.getElementById(name);
    cell.textContent = String(state[name]);
    cell.parentElement.classList.toggle("live", name === "generating" && state.generating > 0);
  }
  return state;
}

/** Waits until the model generates nothing. Resolves with the milliseconds it took, null if it did not stop in time. */
export async function waitIdle(limitMs) {
  const started = performance.now();
  while (performance.now() - started < limitMs) {
    const state = await refresh();
    if (state?.generating === 0) return performance.now() - started;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return null;
}
