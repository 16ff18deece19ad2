// What an ICMP error quotes, in the text of a packet: `icmp 3 4 quotes (ipv4 … / udp 1 > 2)`.
//
// A quote has headers of its own, with the same mark between them; it is taken out before the text is cut there.

/** The text with a number in place of each quote, and the quotes. */
export function takeQuotes(text: string): { readonly text: string; readonly quotes: readonly string[] } {
  const quotes: string[] = [];
  let left = text;
  for (;;) {
    // The innermost first: a quote may quote.
    const parts = /\(([^()]*)\)/.exec(left);
    if (parts === null) return { text: left, quotes };
    left = `${left.slice(0, parts.index)}${quotes.length}${left.slice(parts.index + parts[0].length)}`;
    quotes.push(parts[1] ?? '');
  }
}
