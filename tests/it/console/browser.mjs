// Looks at the console in a real Chromium. What it found goes to standard output as JSON; the test judges it.
// Arguments: the folder with the packages, Chromium, what to do, and its arguments as JSON.
import { createRequire } from "node:module";
import { join } from "node:path";

const [folder, program, what, json] = process.argv.slice(2);
const need = createRequire(join(folder, "package.json"));
const { chromium } = need("playwright-core");
const { AxeBuilder } = need("@axe-core/playwright");
const given = JSON.parse(json);

const browser = await chromium.launch({ executablePath: program, args: ["--no-sandbox", "--disable-gpu"] });
const said = { errors: [], elsewhere: [] };

const context = async (options = {}) => {
  const made = await browser.newContext({ viewport: { width: 1200, height: 900 }, ...options });
  made.on("page", (page) => {
    page.on("pageerror", (error) => said.errors.push(String(error)));
    page.on("console", (line) => {
      if (line.type() === "error" && !line.text().includes("status of 4")) said.errors.push(line.text());
    });
    page.on("request", (request) => {
      if (!request.url().startsWith(given.url)) said.elsewhere.push(request.url());
    });
  });
  return made;
};

const heading = async (page) => (await page.locator("h1").first().textContent()).trim();

const axe = async (page, path) => {
  const { violations } = await new AxeBuilder({ page }).analyze();
  return violations.map(({ id, nodes }) => `${path}: ${id}: ${nodes.map((node) => node.html).join(" | ").slice(0, 400)}`);
};

const steps = {
  // Signs in by the link's button, and keeps the session for later.
  async enter() {
    const mine = await context();
    const page = await mine.newPage();
    await page.goto(given.link);
    said.door = await heading(page);
    said.violations = await axe(page, "door");
    const looked = await page.context().cookies();
    said.cookies_before = looked.length;
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.waitForURL(`${given.url}/`);
    said.entered = await heading(page);
    const [cookie] = await mine.cookies();
    said.cookie = { name: cookie.name, httpOnly: cookie.httpOnly, sameSite: cookie.sameSite };
    await mine.storageState({ path: given.state });
    // The same link in another browser.
    const other = await (await context()).newPage();
    await other.goto(given.link);
    said.reused = await heading(other);
    await other.goto(given.url);
    said.stranger = await heading(other);
  },

  // Goes through every page, on a desk and on a phone, light and dark.
  async look() {
    said.violations = [];
    said.pages = {};
    for (const options of [
      { colorScheme: "light" },
      { colorScheme: "dark" },
      { colorScheme: "dark", viewport: { width: 360, height: 740 }, isMobile: true },
    ]) {
      const mine = await context({ ...options, storageState: given.state });
      const page = await mine.newPage();
      for (const path of given.paths) {
        await page.goto(given.url + path);
        said.violations.push(...(await axe(page, `${path} ${JSON.stringify(options)}`)));
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        if (wide > 1) said.violations.push(`${path}: it is ${wide} points too wide for ${JSON.stringify(options)}`);
        said.pages[path] = await heading(page);
        if (given.pictures !== undefined && path !== "/changes") {
          const name = path.replaceAll(/[^a-z]+/g, "-").replace(/^-|-$/g, "") || "now";
          const kind = options.isMobile ? "-phone" : options.colorScheme === "dark" ? "-dark" : "";
          await page.screenshot({ path: join(given.pictures, `console-${name}${kind}.png`) });
        }
      }
      await mine.close();
    }
  },

  // Filters runs, opens one, looks at the charts, and goes about by keyboard.
  async use() {
    const mine = await context({ storageState: given.state });
    const page = await mine.newPage();
    await page.goto(`${given.url}/runs`);
    const rows = () => page.locator("#runs tbody tr").count();
    said.all = await rows();
    await page.getByLabel("Person").fill(given.person);
    await page.getByRole("button", { name: "Show" }).click();
    await page.waitForURL(/person=/);
    said.of_person = await rows();
    await page.getByLabel("Outcome").selectOption("failed");
    await page.getByRole("button", { name: "Show" }).click();
    await page.waitForURL(/outcome=failed/);
    said.failed_of_person = await rows();
    await page.getByLabel("Since").fill("soon");
    await page.getByRole("button", { name: "Show" }).click();
    await page.waitForURL(/since=soon/);
    said.fault = await page.locator("#since-fault").textContent();

    await page.goto(`${given.url}/runs`);
    await page.locator("#runs tbody th a").first().click();
    said.run = await heading(page);
    said.matrix = await page.locator("a[href^='https://matrix.to/']").count();

    await page.goto(`${given.url}/spend?by=person&span=all`);
    said.charts = await page.locator("svg[role=img]").count();
    said.bars = await page.locator("svg .bar").count();
    const size = await page.locator("svg .bar").first().boundingBox();
    said.bar_is_seen = size !== null && size.width > 0 && size.height > 0;

    await page.goto(given.url);
    await page.keyboard.press("Tab");
    said.first_tab = await page.evaluate(() => document.activeElement.textContent);
    await page.keyboard.press("Enter");
    said.skipped_to = await page.evaluate(() => document.activeElement.id);
    await page.getByRole("link", { name: "Runs" }).focus();
    await page.keyboard.press("Enter");
    await page.waitForURL(/runs$/);

    const timing = await page.evaluate(() => {
      const [entry] = performance.getEntriesByType("navigation");
      return entry.responseEnd - entry.requestStart;
    });
    said.first_page_ms = timing;
  },

  // Waits until an open page shows something new by itself, then until its session ends.
  async follow() {
    const mine = await context({ storageState: given.state });
    const page = await mine.newPage();
    await page.goto(`${given.url}/runs`);
    const before = await page.locator("#runs tbody tr").count();
    process.stdout.write("open\n");
    await page.waitForFunction((count) => document.querySelectorAll("#runs tbody tr").length > count, before, { timeout: 60000 });
    process.stdout.write("grown\n");
    await page.waitForFunction(() => document.querySelector("h1").textContent.includes("Signed out"), null, { timeout: 60000 });
    said.at_last = await heading(page);
  },

  // Comes again with the session that it had.
  async again() {
    const page = await (await context({ storageState: given.state })).newPage();
    const answer = await page.goto(given.url);
    said.again = await heading(page);
    said.status = answer.status();
    said.violations = await axe(page, "signed out");
  },
};

try {
  await steps[what]();
  process.stdout.write(JSON.stringify(said));
} finally {
  await browser.close();
}
