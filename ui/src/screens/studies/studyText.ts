/** The text of a study that names this appliance; all other lines stay as they are. */
export function withAppliance(text: string, name: string): string {
  // A plain name needs no quotes; what else YAML might make of it, quotes keep away.
  const value = /^[A-Za-z][\w.-]*$/.test(name) ? name : JSON.stringify(name);
  const line = /^appliance:.*$/m;
  if (line.test(text)) return text.replace(line, () => `appliance: ${value}`);
  return `appliance: ${value}\n${text}`;
}
