// What goes wrong, in words for whoever asked, with the next step.

/** Says `message` and what to do (`hint`). `status` counts until the stream of events has begun. */
export class Refusal extends Error {
  constructor(readonly status: number, message: string, readonly hint = "") {
    super(message);
  }

  get words(): { message: string; hint: string } {
    return { message: this.message, hint: this.hint };
  }
}

/** `error` as something that may be shown; what nobody foresaw goes to the log. */
export function inWords(error: unknown): Refusal {
  if (error instanceof Refusal) {
    return error;
  }
  console.error("ask", error);
  return new Refusal(500, "That failed unexpectedly.", "Try again; the function's log has the details.");
}
