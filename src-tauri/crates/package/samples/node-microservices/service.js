// One of five services of a shop. ROLE says which; the others are found by their names.
'use strict';

const http = require('node:http');
const os = require('node:os');

const role = process.env.ROLE || 'shop';
const port = Number(process.env.PORT || 8080);

const products = [
  { id: 'rope', name: 'Rope', price: 1450, stock: 12, stars: 5 },
  { id: 'hook', name: 'Hook', price: 390, stock: 40, stars: 4 },
  { id: 'drum', name: 'Drum', price: 8900, stock: 3, stars: 5 },
];
const own = {
  catalog: () => products.map(({ id, name }) => ({ id, name })),
  prices: () => Object.fromEntries(products.map(({ id, price }) => [id, price])),
  stock: () => Object.fromEntries(products.map(({ id, stock }) => [id, stock])),
  reviews: () => Object.fromEntries(products.map(({ id, stars }) => [id, stars])),
};

const ask = (service) =>
  new Promise((resolve) => {
    const request = http.get({ host: service, port, path: '/', timeout: 3000 }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part) => (text += part));
      response.on('end', () => {
        try {
          resolve(JSON.parse(text));
        } catch {
          resolve(null);
        }
      });
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(null));
  });

const row = ({ name }, price, stock, stars) =>
  `<tr><td>${name}</td><td>${price === undefined ? 'no price' : `${(price / 100).toFixed(2)} €`}</td>` +
  `<td>${stock ?? 'unknown'}</td><td>${stars ? '★'.repeat(stars) : 'no reviews'}</td></tr>`;

const page = (catalog, prices, stock, reviews) => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Shop</title>
<style>
  :root { color-scheme: light dark; font: 18px/1.6 system-ui, sans-serif; }
  main { max-width: 40rem; margin: 4rem auto; padding: 0 2rem; }
  table { width: 100%; border-collapse: collapse; }
  th, td { text-align: left; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid #8884; }
</style>
<main>
  <h1>Shop</h1>
  ${catalog ? '' : '<p>The catalog does not answer.</p>'}
  <table>
    <tr><th>Product</th><th>Price</th><th>In stock</th><th>Reviews</th></tr>
    ${(catalog ?? []).map((it) => row(it, prices?.[it.id], stock?.[it.id], reviews?.[it.id])).join('\n    ')}
  </table>
  <p>Put together by ${os.hostname()} from four other machines.</p>
</main>
</html>
`;

const answer = async (path) => {
  if (path === '/health') return [200, 'application/json', JSON.stringify({ role, status: 'ok' }) + '\n'];
  if (path !== '/') return [404, 'text/plain; charset=utf-8', 'There is nothing here.\n'];
  if (own[role]) return [200, 'application/json', JSON.stringify(own[role]()) + '\n'];
  const answers = await Promise.all(['catalog', 'prices', 'stock', 'reviews'].map(ask));
  return [200, 'text/html; charset=utf-8', page(...answers)];
};

http
  .createServer(async (request, response) => {
    const [status, type, body] = await answer(request.url.split('?')[0]);
    response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) });
    response.end(body);
    console.log(`${request.method} ${request.url} ${status}`);
  })
  .listen(port, () => console.log(`${role} listens on port ${port}`));

process.on('SIGTERM', () => process.exit(0));
