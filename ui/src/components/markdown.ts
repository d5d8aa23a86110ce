/** Markdown of strangers as HTML that can do no harm. */
import DOMPurify from "dompurify";
import { Marked } from "marked";

const TAGS = [
  ..."h2 h3 h4 h5 h6 p br hr ul ol li strong em del code pre blockquote".split(" "),
  ..."table thead tbody tr th td span".split(" "),
];

/**
 * Headings begin at the second level, as the page has its own first. Pictures would be fetched from the network and are
 * named instead. A link is shown with its address, to be copied: the window opens no page of a stranger.
 */
export function renderMarkdown(source: string, picture: string): string {
  const marked = new Marked({ gfm: true, breaks: false });
  marked.use({
    renderer: {
      heading({ tokens, depth }) {
        const level = Math.min(6, depth + 1);
        return `<h${level}>${this.parser.parseInline(tokens)}</h${level}>\n`;
      },
      image({ text }) {
        return `<span class="address">[${picture}${text ? `: ${escaped(text)}` : ""}]</span>`;
      },
      link({ href, tokens }) {
        const words = this.parser.parseInline(tokens);
        const address = escaped(href);
        return words === address
          ? `<span>${words}</span>`
          : `<span>${words}</span> <span class="address">(${address})</span>`;
      },
      checkbox({ checked }) {
        return checked ? "☑ " : "☐ ";
      },
    },
  });
  const html = marked.parse(source, { async: false });
  return DOMPurify.sanitize(html, { ALLOWED_TAGS: TAGS, ALLOWED_ATTR: ["class"] });
}

function escaped(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
