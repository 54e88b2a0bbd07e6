/** The pages that people see. They work without scripts. */

import { renderError } from "./errorPage.ts";
import {
  type Continuation,
  codeField,
  decisionForm,
  type FormError,
  type FormState,
  form,
  linkTo,
  passwordField,
  usernameField,
} from "./forms.ts";
import { type Html, html } from "./html.ts";
import { createLayout, type Page, type PageSettings } from "./layout.ts";
import { texts } from "./texts.ts";

export type CredentialsForm = {
  state: FormState;
  username?: string | undefined;
  error?: FormError | undefined;
  /** The name of the application that the user came from. */
  client?: string | undefined;
  /** Whether the application knows the user, and accepts no other one. */
  isKnown?: boolean | undefined;
  /** Who is signed in already. Another user may sign in, or the same one again. */
  signedInAs?: string | undefined;
  /** What the form may redirect to at last: the client. */
  formTarget?: string | undefined;
};

/** What a client asks for, and who decides. */
export type AccessRequest = {
  client: { name: string; policyUri?: string | null; tosUri?: string | null };
  scopes: readonly { description: string }[];
  /** The name of the API that the access is for; `undefined` for this service. */
  api?: string | undefined;
  username: string;
};

export type Pages = ReturnType<typeof createPages>;

export function createPages(settings: PageSettings & { isRegistrationOpen: boolean }) {
  const layout = createLayout(settings);
  const { signIn, signUp, consent, device, signOut } = texts;

  function signInPage({ state, username, error, formTarget, ...reason }: CredentialsForm): Page {
    const fields = html`${usernameField(username, error)}
${passwordField("current-password", username, error)}
<button>${signIn.submit}</button>`;
    return layout({
      title: signIn.title,
      formTarget,
      problem: error?.problem,
      main: html`${purpose(reason)}${form("sign-in", state, fields, error)}
${settings.isRegistrationOpen ? links(linkTo("sign-up", state, signIn.toSignUp)) : undefined}`,
    });
  }

  function signUpPage({ state, username, error, formTarget, ...reason }: CredentialsForm): Page {
    const fields = html`${usernameField(username, error)}
${passwordField("new-password", username, error)}
<button>${signUp.submit}</button>`;
    return layout({
      title: signUp.title,
      formTarget,
      problem: error?.problem,
      main: html`${purpose(reason)}${form("sign-up", state, fields, error)}
${links(linkTo("sign-in", state, signUp.toSignIn))}`,
    });
  }

  /**
   * Asks a user for consent. Shows no logo of the client: loading it would tell the client's host about the user before the consent,
   * and a client can show the logo of another one.
   * @param request `host`: where the user returns to
   */
  function consentPage(request: AccessRequest & { state: FormState; host: string; formTarget: string }): Page {
    const { client, host, state, formTarget, username } = request;
    return layout({
      title: consent.title(client.name),
      formTarget,
      main: html`<p>${consent.asks(client.name, host)}</p>
${access(request)}
${decisionForm("consent", state, consent)}
<p class="faint">${consent.revocable}</p>
${clientLinks(client)}${signedIn(username, state)}`,
    });
  }

  /** Asks a user for the code that a device shows (RFC 8628, section 3.3). */
  function devicePage(request: { state: FormState; username: string; error?: FormError | undefined }): Page {
    const { state, username, error } = request;
    const fields = html`${codeField(state.userCode, error)}
<button>${device.submit}</button>`;
    return layout({
      title: device.title,
      problem: error?.problem,
      main: html`${form("device", state, fields, error)}
${signedIn(username, state)}`,
    });
  }

  /** Asks a user to compare the code, because an attacker may have sent the link (RFC 8628, section 5.4). */
  function deviceConfirmPage(request: AccessRequest & { state: FormState & { userCode: string } }): Page {
    const { client, state, username } = request;
    return layout({
      title: device.confirmTitle(client.name),
      main: html`<p>${device.code} <code class="code">${state.userCode}</code></p>
<p>${device.warning}</p>
${access(request)}
${decisionForm("device", state, device)}
${clientLinks(client)}${signedIn(username, state)}`,
    });
  }

  /** Asks a user whether to sign out, because any site can link to the page. */
  function signOutPage(request: { state: FormState; username: string; formTarget?: string | undefined }): Page {
    const { state, username, formTarget } = request;
    return layout({
      title: signOut.title,
      formTarget,
      main: html`<p>${signOut.question(username)}</p>
<p class="faint">${signOut.elsewhere}</p>
${form("sign-out-confirmation", state, html`<button>${signOut.submit}</button>`)}`,
    });
  }

  /** A page without a form. */
  function messagePage({ title, text }: { title: string; text: string }): Page {
    return layout({ title, main: html`<p>${text}</p>` });
  }

  return {
    signInPage,
    signUpPage,
    consentPage,
    devicePage,
    deviceConfirmPage,
    signOutPage,
    messagePage,
    errorPage: renderError(layout),
  };
}

function purpose({ client, signedInAs, isKnown }: Omit<CredentialsForm, "state">): Html {
  const shown = [
    client && texts.signIn.to(client),
    signedInAs && texts.signedInAs(signedInAs),
    isKnown && texts.signIn.sameAccount,
  ];
  return html`${shown.flatMap((text) => (text ? [html`<p>${text}</p>\n`] : []))}`;
}

const links = (content: Html): Html => html`<p class="links">${content}</p>`;

const signedIn = (username: string, state: Continuation): Html =>
  html`<p class="links faint">${texts.signedInAs(username)} ${linkTo("sign-in", state, texts.otherAccount)}</p>`;

function access({ scopes, api }: AccessRequest): Html {
  const { consent } = texts;
  const items = scopes.map(({ description }) => html`<li>${description}</li>\n`);
  return html`${
    items.length > 0 ? html`<p>${consent.scopes}</p>\n<ul>\n${items}</ul>` : html`<p>${consent.noScopes}</p>`
  }
${api === undefined ? undefined : html`<p class="faint">${consent.api(api)}</p>`}`;
}

/** Only `https` links, which cannot run scripts. */
function clientLinks({ policyUri, tosUri }: AccessRequest["client"]): Html | undefined {
  const { policy, terms } = texts.consent;
  const targets: [string | null | undefined, string][] = [
    [policyUri, policy],
    [tosUri, terms],
  ];
  const shown = targets.flatMap(([uri, text]) =>
    uri?.startsWith("https://") ? [html`<a href="${uri}" rel="noreferrer" target="_blank">${text}</a>\n`] : [],
  );
  return shown.length > 0 ? html`<p class="faint">${shown}</p>\n` : undefined;
}
