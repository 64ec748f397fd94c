/**
 * The drawings of the corpus, as pages for Chromium. All shapes come from a seeded generator. The same
 * browser and fonts always give the same pixels.
 */
/** A page that is photographed at `width` x `height` CSS pixels, times `scale`. */
export interface Drawing {
  readonly kind: string;
  readonly width: number;
  readonly height: number;
  /** Device pixels for one CSS pixel. Absent: 1. */
  readonly scale?: number;
  /** Keep the transparency of the page. */
  readonly transparent?: boolean;
  readonly html: string;
}

/** A generator of numbers from 0 to 1 (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const SANS = "font-family:'DejaVu Sans'";
const SERIF = "font-family:'DejaVu Serif'";
const MONO = "font-family:'DejaVu Sans Mono'";
const WORDS = [
  ...'the shop sends a parcel with seven blue cups and one plate of clay to'.split(' '),
  ...'house near harbour while rain falls on copper roofs and an old'.split(' '),
  ...'clock counts every quarter of this quiet evening'.split(' '),
];
const COLOURS = ['#e4572e', '#17bebb', '#ffc914', '#2e282a', '#76b041', '#4059ad', '#97d8c4', '#f4b942'];

const repeat = (count: number, make: (index: number) => string) =>
  Array.from({ length: count }, (_, index) => make(index)).join('');

function sentence(random: () => number, words: number): string {
  const text = Array.from({ length: words }, () => WORDS[Math.floor(random() * WORDS.length)]).join(' ');
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

function paragraphs(seed: number, count: number, words: number): string {
  const random = seeded(seed);
  return repeat(count, () => `<p>${repeat(4, () => `${sentence(random, Math.round(words / 4))} `)}</p>`);
}

const svg = (width: number, height: number, inner: string, style = '') =>
  `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" style="display:block;${style}">${inner}</svg>`;

function logo(width: number, height: number, fill: string, ground: string): string {
  const unit = height / 100;
  return svg(
    width,
    height,
    `<rect width="100%" height="100%" fill="${ground}"/>
    <g transform="scale(${unit})"><circle cx="52" cy="50" r="34" fill="${fill}"/>
    <path d="M34 50 L52 26 L70 50 L52 74 Z" fill="${ground === 'none' ? '#fff' : ground}"/><circle cx="52" cy="50" r="8" fill="${fill}"/>
    <text x="100" y="68" font-size="52" font-weight="bold" style="${SANS}" fill="${fill}">Harbour</text></g>`,
  );
}

function gradientLogo(width: number, shadow: boolean): string {
  return svg(
    width,
    width,
    `<defs><linearGradient id="g" x2="1" y2="1"><stop stop-color="#ff5f6d"/><stop offset="1" stop-color="#3a1c71"/></linearGradient>
    <filter id="s"><feDropShadow dx="8" dy="14" stdDeviation="16" flood-opacity="0.45"/></filter></defs>
    <g transform="scale(${width / 500})" ${shadow ? 'filter="url(#s)"' : ''}><rect x="70" y="70" width="360" height="360" rx="84" fill="url(#g)"/>
    <path d="M150 330 L250 140 L350 330 Z" fill="none" stroke="#fff" stroke-width="30" stroke-linejoin="round"/></g>`,
  );
}

function lineDrawing(width: number, height: number, seed: number, stroke: number): string {
  const random = seeded(seed);
  return svg(
    width,
    height,
    `<rect width="100%" height="100%" fill="#fff"/><g fill="none" stroke="#111" stroke-width="${stroke}">${repeat(
      90,
      () => {
        const x = random() * width;
        const y = random() * height;
        const r = 20 + (random() * width) / 9;
        const kind = random();
        if (kind < 0.4)
          return `<ellipse cx="${x}" cy="${y}" rx="${r}" ry="${r * (0.3 + random())}" transform="rotate(${random() * 180} ${x} ${y})"/>`;
        if (kind < 0.7)
          return `<rect x="${x}" y="${y}" width="${r}" height="${r * 0.7}" transform="rotate(${Math.floor(random() * 4) * 45} ${x} ${y})"/>`;
        return `<path d="M${x} ${y} q ${r} ${-r} ${2 * r} 0 t ${r} ${r} t ${-r} ${r * 0.4}"/>`;
      },
    )}</g>`,
  );
}

function bars(width: number, height: number): string {
  const random = seeded(5);
  return svg(
    width,
    height,
    `<rect width="100%" height="100%" fill="#fff"/>${repeat(9, (i) => `<line x1="90" x2="${width - 30}" y1="${90 + (i * (height - 180)) / 8}" y2="${90 + (i * (height - 180)) / 8}" stroke="#ddd"/><text x="30" y="${96 + (i * (height - 180)) / 8}" font-size="18" style="${SANS}" fill="#555">${800 - i * 100}</text>`)}
    ${repeat(12, (i) => {
      const h = 60 + random() * (height - 260);
      const x = 110 + (i * (width - 160)) / 12;
      return `<rect x="${x}" y="${height - 90 - h}" width="${(width - 160) / 18}" height="${h}" fill="${COLOURS[i % 3]}"/><text x="${x}" y="${height - 60}" font-size="16" style="${SANS}" fill="#333">week ${i + 1}</text>`;
    })}<text x="90" y="50" font-size="32" font-weight="bold" style="${SANS}">Parcels sent, by week and warehouse</text>`,
  );
}

function scatter(width: number, height: number): string {
  const random = seeded(6);
  const dot = () => random() + random() + random() - 1.5;
  return svg(
    width,
    height,
    `<rect width="100%" height="100%" fill="#fafafa"/>${repeat(1_500, (i) => `<circle cx="${width / 2 + dot() * width * 0.35}" cy="${height / 2 + dot() * height * 0.4}" r="${3 + random() * 6}" fill="${COLOURS[i % 6]}" fill-opacity="0.55"/>`)}
    ${repeat(4, (k) => `<polyline fill="none" stroke="${COLOURS[k]}" stroke-width="2.5" points="${repeat(200, (i) => `${(i * width) / 200},${height * (0.3 + k * 0.13) + Math.sin(i / (9 + k * 3)) * 60 + random() * 22} `)}"/>`)}
    <text x="40" y="50" font-size="26" style="${SANS}">Delay against distance, 1 500 deliveries</text>`,
  );
}

function pie(side: number): string {
  const slice = (from: number, to: number, fill: string) => {
    const point = (t: number) =>
      `${side / 2 + Math.cos(t * 2 * Math.PI) * side * 0.4} ${side / 2 + Math.sin(t * 2 * Math.PI) * side * 0.4}`;
    return `<path d="M${side / 2} ${side / 2} L${point(from)} A${side * 0.4} ${side * 0.4} 0 ${to - from > 0.5 ? 1 : 0} 1 ${point(to)} Z" fill="${fill}" stroke="#fff" stroke-width="3"/>`;
  };
  return svg(
    side,
    side,
    `<defs>${repeat(4, (i) => `<radialGradient id="p${i}"><stop stop-color="#fff"/><stop offset="1" stop-color="${COLOURS[i]}"/></radialGradient>`)}</defs><rect width="100%" height="100%" fill="#fff"/>
    ${slice(0, 0.37, 'url(#p0)')}${slice(0.37, 0.62, 'url(#p1)')}${slice(0.62, 0.83, 'url(#p2)')}${slice(0.83, 1, 'url(#p3)')}`,
  );
}

function map(width: number, height: number): string {
  const random = seeded(9);
  const blob = (fill: string, r: number) => {
    const x = random() * width;
    const y = random() * height;
    const points = repeat(14, (i) => {
      const d = r * (0.6 + random() * 0.5);
      return `${x + Math.cos((i / 14) * 6.283) * d},${y + Math.sin((i / 14) * 6.283) * d} `;
    });
    return `<polygon points="${points}" fill="${fill}"/>`;
  };
  const road = (colour: string, weight: number) => {
    const path = `M${random() * width} ${random() * height} ${repeat(4, () => `S ${random() * width} ${random() * height} ${random() * width} ${random() * height} `)}`;
    return `<path d="${path}" fill="none" stroke="#b0a690" stroke-width="${weight + 2}"/><path d="${path}" fill="none" stroke="${colour}" stroke-width="${weight}"/>`;
  };
  return svg(
    width,
    height,
    `<rect width="100%" height="100%" fill="#f2efe9"/>${repeat(10, () => blob('#c8e6b4', 180))}${repeat(5, () => blob('#aad3df', 200))}${repeat(260, () => `<rect x="${random() * width}" y="${random() * height}" width="${8 + random() * 30}" height="${8 + random() * 24}" fill="#d9d0c9" stroke="#bbb0a5"/>`)}
    ${repeat(24, () => road('#fff', 4))}${repeat(6, () => road('#fcd6a4', 8))}${repeat(50, (i) => `<text x="${random() * width}" y="${random() * height}" font-size="${11 + (i % 4) * 4}" style="${SANS};paint-order:stroke" stroke="#fff" stroke-width="3" fill="#444">${WORDS[i % WORDS.length]} street</text>`)}`,
  );
}

function userInterface(dark: boolean, picture = ''): string {
  const random = seeded(dark ? 21 : 22);
  const [ground, panel, ink, line] = dark
    ? ['#1c1f26', '#252932', '#d7dae0', '#363b47']
    : ['#f5f6f8', '#fff', '#22262e', '#dfe3e8'];
  return `<body style="margin:0;background:${ground};color:${ink};${SANS};font-size:14px"><div style="display:flex;height:100vh">
  <div style="width:220px;background:${panel};border-right:1px solid ${line};padding:20px">${repeat(12, (i) => `<div style="padding:10px;border-radius:6px;${i === 2 ? 'background:#3b6fe0;color:#fff' : ''}">${WORDS[i * 2]} ${WORDS[i + 4]}</div>`)}</div>
  <div style="flex:1;padding:24px"><div style="display:flex;justify-content:space-between"><h2 style="margin:0 0 18px">Orders</h2><button style="background:#3b6fe0;color:#fff;border:0;border-radius:6px;padding:8px 18px">New order</button></div>
  ${picture}<div style="background:${panel};border:1px solid ${line};border-radius:8px;box-shadow:0 2px 8px #0002">${repeat(18, (i) => `<div style="display:flex;gap:20px;padding:10px 16px;border-top:1px solid ${line}"><span style="width:90px">#${1000 + i * 7}</span><span style="flex:1">${sentence(random, 7)}</span><span style="width:100px">${(random() * 900).toFixed(2)} €</span><span style="background:${COLOURS[i % 5]};color:#fff;border-radius:10px;padding:2px 10px">${WORDS[i + 3]}</span></div>`)}</div></div></div></body>`;
}

function code(dark: boolean): string {
  const random = seeded(31);
  const ink = dark
    ? ['#c586c0', '#9cdcfe', '#ce9178', '#6a9955']
    : ['#af00db', '#001080', '#a31515', '#008000'];
  return `<body style="margin:0;background:${dark ? '#1e1e1e' : '#fff'};color:${dark ? '#d4d4d4' : '#000'};${MONO};font-size:15px;line-height:22px"><div style="padding:12px">${repeat(44, (i) => `<div><span style="color:#888;display:inline-block;width:48px">${i + 1}</span>${'&nbsp;'.repeat(2 * Math.floor(random() * 5))}<span style="color:${ink[0]}">const</span> <span style="color:${ink[1]}">${WORDS[Math.floor(random() * 30)]}</span> = <span style="color:${ink[2]}">'${sentence(random, 3)}'</span>; ${random() < 0.3 ? `<span style="color:${ink[3]}">// ${sentence(random, 4)}</span>` : ''}</div>`)}</div></body>`;
}

function page(columns: number, size: number): string {
  return `<body style="margin:0;background:#fff;color:#000;${SERIF};font-size:${size}px;line-height:1.4"><div style="padding:90px;columns:${columns};column-gap:50px;text-align:justify"><h1 style="font-size:2em">${WORDS.slice(4, 9).join(' ')}</h1>${paragraphs(41, 16, 70)}</div></body>`;
}

function comic(width: number, height: number, gradients: boolean): string {
  const random = seeded(51);
  const fill = (i: number) => (gradients ? `url(#c${i % 8})` : (COLOURS[i % 8] ?? '#fff'));
  return svg(
    width,
    height,
    `<defs>${repeat(8, (i) => `<linearGradient id="c${i}" x1="${random()}" x2="${random()}" y2="1"><stop stop-color="${COLOURS[i]}"/><stop offset="1" stop-color="${COLOURS[(i + 3) % 8]}"/></linearGradient>`)}
    <pattern id="dots" width="10" height="10" patternUnits="userSpaceOnUse"><circle cx="5" cy="5" r="2.6" fill="#0006"/></pattern></defs><rect width="100%" height="100%" fill="#fff"/>
    ${repeat(6, (i) => {
      const w = (width - 90) / 2;
      const h = (height - 120) / 3;
      const x = 30 + (i % 2) * (w + 30);
      const y = 30 + Math.floor(i / 2) * (h + 30);
      return `<svg x="${x}" y="${y}" width="${w}" height="${h}"><rect width="${w}" height="${h}" fill="${fill(i)}"/>${gradients ? `<rect width="${w}" height="${h * 0.5}" fill="url(#dots)"/>` : ''}${repeat(7, (k) => `<ellipse cx="${random() * w}" cy="${h - random() * h * 0.5}" rx="${30 + random() * 80}" ry="${30 + random() * 110}" fill="${fill(i + k + 1)}" stroke="#000" stroke-width="6"/>`)}
      <rect x="20" y="16" width="${w * 0.62}" height="62" rx="30" fill="#fff" stroke="#000" stroke-width="4"/><text x="44" y="54" font-size="20" font-weight="bold" style="${SANS}">${sentence(random, 4)}</text></svg><rect x="${x}" y="${y}" width="${w}" height="${h}" fill="none" stroke="#000" stroke-width="6"/>`;
    })}`,
  );
}

function pixelArt(side: number, cells: number): string {
  const random = seeded(61);
  const cell = side / cells;
  return svg(
    side,
    side,
    `<rect width="100%" height="100%" fill="#94b0c2"/>${repeat(cells * cells * 0.3, () => `<rect x="${Math.floor(random() * cells) * cell}" y="${Math.floor(random() * cells) * cell}" width="${cell * (1 + Math.floor(random() * 4))}" height="${cell}" fill="${COLOURS[Math.floor(random() * 8)]}"/>`)}`,
    'shape-rendering:crispEdges',
  );
}

/** Circles without smooth edges: few colours at this size, thousands once scaled. */
function circles(side: number): string {
  const random = seeded(77);
  return svg(
    side,
    side,
    `<rect width="100%" height="100%" fill="#f5f5f5"/>${repeat(48, () => `<circle cx="${random() * side}" cy="${random() * side}" r="${random() * side * 0.15}" fill="hsl(${random() * 360} ${random() * 100}% ${random() * 90}%)"/>`)}`,
    'shape-rendering:crispEdges',
  );
}

/** Looks like a QR code, without a message. */
function qr(side: number): string {
  const random = seeded(75);
  const size = 41;
  const cell = (x: number, y: number) => {
    const inFinder = [
      [4, 4],
      [size - 11, 4],
      [4, size - 11],
    ].find(([left = 0, top = 0]) => x >= left - 1 && x < left + 8 && y >= top - 1 && y < top + 8);
    if (inFinder === undefined) return x >= 4 && y >= 4 && x < size - 4 && y < size - 4 && random() < 0.5;
    const ring = Math.max(Math.abs(x - (inFinder[0] ?? 0) - 3), Math.abs(y - (inFinder[1] ?? 0) - 3));
    return ring !== 2 && ring !== 4;
  };
  const unit = side / size;
  return svg(
    side,
    side,
    `<rect width="100%" height="100%" fill="#fff"/>${repeat(size * size, (i) => {
      const x = i % size;
      const y = Math.floor(i / size);
      return cell(x, y) ? `<rect x="${x * unit}" y="${y * unit}" width="${unit}" height="${unit}"/>` : '';
    })}`,
    'shape-rendering:crispEdges',
  );
}

function barcode(width: number, height: number): string {
  const random = seeded(71);
  let x = 40;
  return svg(
    width,
    height,
    `<rect width="100%" height="100%" fill="#fff"/>${repeat(70, () => {
      const w = (1 + Math.floor(random() * 3)) * 4;
      const bar = `<rect x="${x}" y="30" width="${w}" height="${height - 100}"/>`;
      x += w + (1 + Math.floor(random() * 3)) * 4;
      return x < width - 40 ? bar : '';
    })}<text x="${width / 2}" y="${height - 25}" font-size="34" text-anchor="middle" style="${MONO}">4 006381 333931</text>`,
  );
}

function flowchart(width: number, height: number): string {
  const box = (x: number, y: number, i: number) =>
    `<rect x="${x}" y="${y}" width="220" height="80" rx="12" fill="${COLOURS[(i * 3) % 8]}22" stroke="${COLOURS[(i * 3) % 8]}" stroke-width="3"/><text x="${x + 110}" y="${y + 47}" font-size="20" text-anchor="middle" style="${SANS}">${WORDS[i * 2]} ${WORDS[i * 2 + 1]}</text>`;
  return svg(
    width,
    height,
    `<defs><marker id="a" orient="auto" markerWidth="10" markerHeight="10" refX="8" refY="5"><path d="M0 0 L10 5 L0 10 Z"/></marker></defs><rect width="100%" height="100%" fill="#fff"/>${repeat(
      12,
      (i) => {
        const x = 60 + (i % 4) * 330;
        const y = 60 + Math.floor(i / 4) * 260;
        return `${box(x, y, i)}<line x1="${x + 110}" y1="${y + 80}" x2="${x + 110 + ((i % 3) - 1) * 180}" y2="${y + 254}" stroke="#000" stroke-width="2" marker-end="url(#a)"/>`;
      },
    )}`,
  );
}

function spreadsheet(): string {
  const random = seeded(81);
  return `<body style="margin:0;${SANS};font-size:13px"><table style="border-collapse:collapse">${repeat(40, (y) => `<tr>${repeat(16, (x) => `<td style="border:1px solid #d0d0d0;padding:3px 8px;min-width:80px;${x === 0 || y === 0 ? 'background:#e8eaed;font-weight:bold' : ''};text-align:right">${x === 0 ? y : y === 0 ? String.fromCharCode(64 + x) : (random() * 10_000).toFixed(2)}</td>`)}</tr>`)}</table></body>`;
}

function banner(width: number, height: number): string {
  return `<body style="margin:0"><div style="width:${width}px;height:${height}px;background:linear-gradient(115deg,#1a2980,#26d0ce 60%,#f9d423);display:flex;align-items:center;justify-content:center;color:#fff;${SANS};font-weight:bold;font-size:${height / 5}px">Summer sale −30 %</div></body>`;
}

function poster(width: number, height: number): string {
  return svg(
    width,
    height,
    `<rect width="100%" height="100%" fill="#ffd23f"/><circle cx="${width * 0.72}" cy="${height * 0.45}" r="${height * 0.32}" fill="#ee4266"/><path d="M0 ${height} L${width * 0.4} ${height * 0.5} L${width * 0.7} ${height} Z" fill="#0ead69"/><path d="M${width * 0.3} ${height} L${width * 0.65} ${height * 0.6} L${width} ${height} Z" fill="#3bceac"/><text x="${width * 0.06}" y="${height * 0.3}" font-size="${height * 0.2}" font-weight="bold" style="${SANS}" fill="#540d6e">Alps ’26</text>`,
  );
}

function music(width: number, height: number): string {
  const random = seeded(91);
  return svg(
    width,
    height,
    `<rect width="100%" height="100%" fill="#fff"/>${repeat(8, (s) => {
      const top = 80 + s * ((height - 120) / 8);
      return `${repeat(5, (i) => `<line x1="60" x2="${width - 60}" y1="${top + i * 14}" y2="${top + i * 14}" stroke="#000" stroke-width="1.5"/>`)}${repeat(
        26,
        (i) => {
          const x = 130 + i * ((width - 220) / 26);
          const y = top + Math.floor(random() * 9) * 7;
          return `<ellipse cx="${x}" cy="${y}" rx="9" ry="6.5" transform="rotate(-20 ${x} ${y})"/><line x1="${x + 8.5}" x2="${x + 8.5}" y1="${y}" y2="${y - 48}" stroke="#000" stroke-width="2"/>`;
        },
      )}`;
    })}`,
  );
}

function sticker(side: number): string {
  return svg(
    side,
    side,
    `<defs><radialGradient id="f" cx=".35" cy=".3"><stop stop-color="#fff3a0"/><stop offset=".6" stop-color="#ffcc33"/><stop offset="1" stop-color="#e08a00"/></radialGradient></defs><g transform="scale(${side / 200})"><circle cx="100" cy="100" r="88" fill="url(#f)"/><ellipse cx="68" cy="80" rx="12" ry="18" fill="#4a2b00"/><ellipse cx="132" cy="80" rx="12" ry="18" fill="#4a2b00"/><path d="M50 120 Q100 180 150 120 Q100 145 50 120" fill="#7a1a00"/></g>`,
  );
}

function icons(): string {
  const shapes = [
    '<circle cx="32" cy="32" r="24"/>',
    '<rect x="10" y="10" width="44" height="44" rx="8"/>',
    '<path d="M32 6 L58 56 L6 56 Z"/>',
    '<path d="M8 32 H56 M32 8 V56" stroke-width="12" stroke="currentColor"/>',
    '<path d="M32 6 l8 18 20 2 -15 13 5 19 -18 -10 -18 10 5 -19 -15 -13 20 -2z"/>',
  ];
  return `<body style="margin:0;background:transparent"><div style="display:grid;grid-template-columns:repeat(8,64px)">${repeat(64, (i) => `<svg width="64" height="64" fill="${COLOURS[i % 8]}" style="color:${COLOURS[i % 8]}">${shapes[(i * 3 + (i >> 3)) % 5]}</svg>`)}</div></body>`;
}

/** A page with a photograph in it. */
function article(photo: string, width: number): string {
  return `<body style="margin:0;background:#fff;color:#222;${SERIF};font-size:18px;line-height:1.5"><div style="background:#0b3d91;color:#fff;padding:16px 40px;${SANS}">The Harbour Herald</div><div style="padding:30px 60px"><h1>${WORDS.slice(0, 8).join(' ')}</h1><img src="${photo}" style="width:${width}px;display:block;margin:20px 0">${paragraphs(95, 3, 60)}</div></body>`;
}

/** All drawings. `photo` is the data URL of a photograph for the pages that show one. */
export function drawings(photo: string): Readonly<Record<string, Drawing>> {
  const thumbnails = `<div style="display:flex;gap:16px;margin-bottom:18px">${repeat(5, (i) => `<img src="${photo}" style="width:180px;height:120px;object-fit:cover;object-position:${i * 25}% 50%;border-radius:8px">`)}</div>`;
  return {
    'logo-flat': { kind: 'logo', width: 1_200, height: 320, html: logo(1_200, 320, '#d6001c', '#fff') },
    'logo-blue': { kind: 'logo', width: 600, height: 160, html: logo(600, 160, '#0b3d91', '#fff') },
    'logo-gradient': { kind: 'logo', width: 1_000, height: 1_000, html: gradientLogo(1_000, false) },
    'logo-transparent': {
      kind: 'logo, transparent',
      width: 1_200,
      height: 320,
      transparent: true,
      html: logo(1_200, 320, '#0b3d91', 'none'),
    },
    'logo-shadow': {
      kind: 'logo, transparent',
      width: 800,
      height: 800,
      transparent: true,
      html: gradientLogo(800, true),
    },
    'icon-64': { kind: 'icon', width: 64, height: 64, transparent: true, html: gradientLogo(64, false) },
    sticker: { kind: 'icon', width: 512, height: 512, transparent: true, html: sticker(512) },
    'icon-sheet': { kind: 'icon', width: 512, height: 512, transparent: true, html: icons() },
    'line-drawing': {
      kind: 'line drawing',
      width: 2_000,
      height: 1_500,
      html: lineDrawing(2_000, 1_500, 3, 3),
    },
    'line-drawing-large': {
      kind: 'line drawing',
      width: 2_000,
      height: 1_500,
      scale: 2,
      html: lineDrawing(2_000, 1_500, 4, 2),
    },
    music: { kind: 'line drawing', width: 1_240, height: 1_600, html: music(1_240, 1_600) },
    'chart-bars': { kind: 'chart', width: 1_200, height: 800, html: bars(1_200, 800) },
    'chart-scatter': { kind: 'chart', width: 1_600, height: 900, html: scatter(1_600, 900) },
    'chart-pie': { kind: 'chart', width: 900, height: 900, html: pie(900) },
    flowchart: { kind: 'chart', width: 1_400, height: 900, html: flowchart(1_400, 900) },
    map: { kind: 'map', width: 1_600, height: 1_200, html: map(1_600, 1_200) },
    'screen-light': { kind: 'screenshot', width: 1_440, height: 900, html: userInterface(false) },
    'screen-dark': { kind: 'screenshot', width: 1_440, height: 900, html: userInterface(true) },
    'screen-retina': { kind: 'screenshot', width: 1_440, height: 900, scale: 2, html: userInterface(false) },
    'screen-phone': { kind: 'screenshot', width: 360, height: 780, scale: 3, html: page(1, 16) },
    spreadsheet: { kind: 'screenshot', width: 1_600, height: 900, html: spreadsheet() },
    'code-dark': { kind: 'code', width: 1_400, height: 1_000, html: code(true) },
    'code-light': { kind: 'code', width: 1_400, height: 1_000, html: code(false) },
    'text-page': { kind: 'text', width: 1_240, height: 1_754, html: page(1, 22) },
    'text-columns': { kind: 'text', width: 1_654, height: 2_339, html: page(2, 24) },
    comic: { kind: 'comic', width: 1_200, height: 1_600, html: comic(1_200, 1_600, false) },
    'comic-gradients': { kind: 'comic', width: 1_200, height: 1_600, html: comic(1_200, 1_600, true) },
    'pixel-art': { kind: 'pixel art', width: 768, height: 768, html: pixelArt(768, 48) },
    'pixel-art-small': { kind: 'pixel art', width: 64, height: 64, html: pixelArt(64, 64) },
    circles: { kind: 'flat shapes', width: 800, height: 800, html: circles(800) },
    qr: { kind: 'code to scan', width: 656, height: 656, html: qr(656) },
    barcode: { kind: 'code to scan', width: 900, height: 420, html: barcode(900, 420) },
    banner: { kind: 'gradient', width: 1_600, height: 600, html: banner(1_600, 600) },
    poster: { kind: 'poster', width: 3_000, height: 2_000, html: poster(3_000, 2_000) },
    'screen-with-thumbnails': {
      kind: 'screenshot with photographs',
      width: 1_440,
      height: 900,
      html: userInterface(false, thumbnails),
    },
    'screen-with-photo': {
      kind: 'screenshot with photographs',
      width: 1_200,
      height: 1_200,
      html: article(photo, 720),
    },
    'screen-mostly-photo': {
      kind: 'screenshot with photographs',
      width: 1_200,
      height: 900,
      html: article(photo, 1_080),
    },
  };
}
