/** The requests of a person, and the line of the page that says how they went. */
export interface Requests {
  /** Does something, and says what it resolves to. The last one has the last word. */
  act(work: () => Promise<string>): void;
  say(text: string, failed?: boolean): void;
}

export function createRequests(status: HTMLElement): Requests {
  let settled = 0;
  const say = (text: string, failed = false): void => {
    status.textContent = text;
    status.classList.toggle("failed", failed);
  };
  return {
    act(work) {
      settled += 1;
      const turn = settled;
      work().then(
        (note) => {
          if (turn === settled && note !== "") say(note);
        },
        (error: unknown) => say(error instanceof Error ? error.message : String(error), true),
      );
    },
    say,
  };
}

/** Gives a person a file. */
export function download(file: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
