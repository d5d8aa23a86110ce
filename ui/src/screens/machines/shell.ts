/** A word as a shell wants it written. */
export function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** A command in lines, one option with its values on each, that can still be pasted as a whole. */
export function shellLines(words: readonly string[]): string {
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.length - 1;
    if (lines.length === 0 || word.startsWith("-")) lines.push(quoted(word));
    else lines[last] = `${lines[last]} ${quoted(word)}`;
  }
  return lines.join(" \\\n  ");
}
