/** The parts of forms. */
import type { ProblemSlug } from "../problems/catalogue.ts";
import { type Html, html } from "./html.ts";
import { texts } from "./texts.ts";

/** What the user continues with. It returns with the form, and links to other forms contain it. */
export type Continuation = {
  /** A sealed authorization request. */
  authorization?: string | undefined;
  /** The code that a device shows. */
  userCode?: string | undefined;
};

export type FormState = Continuation & {
  /** Other parameters that return with the form. */
  hidden?: Readonly<Record<string, string | undefined>> | undefined;
  /** Proves that this browser has got the form (`formToken`), if there is no authorization request, which proves it as well. */
  token?: string | undefined;
};

type Field = "username" | "password" | "code";
/** An error above a form, and the fields that it is about. */
export type FormError = { text: string; problem: ProblemSlug; fields: readonly Field[] };

/** The paths of pages and of their forms, relative to each other. */
type Action = "sign-in" | "sign-up" | "consent" | "device" | "sign-out" | "sign-out-confirmation";

export function form(action: Action, state: FormState, fields: Html, error?: FormError): Html {
  const { authorization, userCode, token } = state;
  const hidden = Object.entries({
    authorization,
    token,
    ...(action !== "device" && { user_code: userCode }),
    ...state.hidden,
  });
  const inputs = hidden.flatMap(([name, value]) =>
    value === undefined ? [] : [html`<input type="hidden" name="${name}" value="${value}">\n`],
  );
  const alert = error && html`<p class="error" id="error" role="alert">${error.text}</p>\n`;
  return html`${alert}<form method="post" action="${action}">
${inputs}${fields}
</form>`;
}

/** Two buttons, whose values are those of the parameter `decision`. */
export const decisionForm = (
  action: Action,
  state: FormState,
  { allow, deny }: { allow: string; deny: string },
): Html =>
  form(
    action,
    state,
    html`${action === "device" ? html`<input type="hidden" name="user_code" value="${state.userCode}">\n` : undefined}
<button name="decision" value="allow">${allow}</button>
<button class="other" name="decision" value="deny">${deny}</button>`,
  );

export function usernameField(value: string | undefined, error: FormError | undefined): Html {
  return html`<label for="username">${texts.username}</label>
<input id="username" name="username" value="${value}" required maxlength="256" autocomplete="username" autocapitalize="none"
  spellcheck="false"${attributes("username", error)}${focusIf(isFirst("username", value, error))}>`;
}

export function passwordField(
  purpose: "current-password" | "new-password",
  username: string | undefined,
  error: FormError | undefined,
): Html {
  const hint = purpose === "new-password" ? html`<p class="faint" id="hint">${texts.newPasswordHint}</p>\n` : undefined;
  return html`<label for="password">${texts.password}</label>
<input id="password" type="password" name="password" required maxlength="1024" autocomplete="${purpose}"
  ${attributes("password", error, hint && "hint")}${focusIf(isFirst("password", username, error))}>
${hint}`;
}

export function codeField(value: string | undefined, error: FormError | undefined): Html {
  return html`<label for="code">${texts.device.label}</label>
<input class="code" id="code" name="user_code" value="${value}" required maxlength="64" autocomplete="off"
  autocapitalize="characters" spellcheck="false"${attributes("code", error, "hint")} autofocus>
<p class="faint" id="hint">${texts.device.hint}</p>`;
}

/** Whether the cursor is put into a field: the first one that the user has to fill in. */
function isFirst(field: Field, username: string | undefined, error: FormError | undefined): boolean {
  const isUsernameRight = username !== undefined && (error?.fields.includes("password") ?? true);
  return field === (isUsernameRight ? "password" : "username");
}

const focusIf = (isFirst: boolean): Html | undefined => (isFirst ? html` autofocus` : undefined);

/** Ties the error and the hint to their field, for screen readers. */
function attributes(field: Field, error: FormError | undefined, hint?: string): Html {
  const isWrong = error?.fields.includes(field) ?? false;
  const ids = [isWrong ? "error" : [], hint ?? []].flat().join(" ");
  return html`${isWrong ? html` aria-invalid="true"` : undefined}${ids ? html` aria-describedby="${ids}"` : undefined}`;
}

export function linkTo(action: Action, { authorization, userCode }: Continuation, text: string): Html {
  return html`<a href="${locationOf(action, { authorization, userCode })}">${text}</a>`;
}

/** The relative URL of a page, for a link and for `Location`. */
export function locationOf(action: Action, { authorization, userCode }: Continuation): string {
  const query = new URLSearchParams({
    ...(authorization !== undefined && { authorization }),
    ...(userCode !== undefined && { user_code: userCode }),
  }).toString();
  return query === "" ? action : `${action}?${query}`;
}
