"""Names on the wire of the questions to Mitz.

Source: SOAP 1.2, WS-Addressing 1.0, XACML 3.0 core and its SAML 2.0 profile, SAML 2.0 core, IHE XCPD (ITI-56);
handbook "Open en gesloten autorisatievraag" 3.8.2 of Mitz for attributes, code systems and values.
"""

from __future__ import annotations

SOAP = "http://www.w3.org/2003/05/soap-envelope"
WSA = "http://www.w3.org/2005/08/addressing"
QUERY = "urn:oasis:names:tc:xacml:3.0:profile:saml2.0:v2:schema:protocol:wd-14"
XACML = "urn:oasis:names:tc:xacml:3.0:core:schema:wd-17"
HL7 = "urn:hl7-org:v3"
XCPD = "urn:ihe:iti:xcpd:2009"
SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
WSSE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
DS = "http://www.w3.org/2000/09/xmldsig#"
XML_ID = "{http://www.w3.org/XML/1998/namespace}id"

ACTION = "XACMLAuthorizationDecisionQueryRequest"
LOCATE = "urn:ihe:iti:2009:PatientLocationQuery"
BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
BY_X509 = "urn:oasis:names:tc:SAML:2.0:ac:classes:X509"
AUDIENCE = "urn:oid:2.16.840.1.113883.2.4.3.111.2.1"
ANONYMOUS = f"{WSA}/anonymous"
REPLY = f"{WSA}/reply"
STATUS_OK = "urn:oasis:names:tc:xacml:1.0:status:ok"

II = f"{HL7}#II"
CV = f"{HL7}#CV"

RESOURCE = "urn:oasis:names:tc:xacml:3.0:attribute-category:resource"
ACTIONS = "urn:oasis:names:tc:xacml:3.0:attribute-category:action"
SUBJECT = "urn:oasis:names:tc:xacml:1.0:subject-category:access-subject"
ENVIRONMENT = "urn:oasis:names:tc:xacml:3.0:attribute-category:environment"

PATIENT = "urn:oasis:names:tc:xacml:2.0:resource:resource-id"
HOLDER_TYPE = "urn:ihe:iti:appc:2016:document-entry:healthcare-facility-type-code"
HOLDER = "urn:ihe:iti:appc:2016:author-institution:id"
EVENT = "urn:ihe:iti:appc:2016:document-entry:event-code"
ROLE = "urn:oasis:names:tc:xacml:2.0:subject:role"
PROVIDER = "urn:ihe:iti:xua:2017:subject:provider-identifier"
MANDATED = "urn:nl:otv:names:tc:1.0:subject:mandated"
REQUESTER = "urn:nl:otv:names:tc:1.0:subject:provider-institution"
REQUESTER_TYPE = "urn:nl:otv:names:tc:1.0:subject:consulting-healthcare-facility-type-code"
PURPOSE = "urn:oasis:names:tc:xspa:1.0:subject:purposeofuse"

BSN_ROOT = "2.16.840.1.113883.2.4.6.3"
URA_ROOT = "2.16.528.1.1007.3.3"
UZI_ROOT = "2.16.528.1.1007.3.1"
UZI_AUTHORITY = "CIBG"
BSN_AUTHORITY = "NLMINBIZA"
TYPE_SYSTEM = "2.16.840.1.113883.2.4.15.1060"
ROLE_SYSTEM = "2.16.840.1.113883.2.4.15.111"
CATEGORY_SYSTEM = "2.16.840.1.113883.2.4.3.111.5.10.1"
PURPOSE_SYSTEM = "2.16.840.1.113883.1.11.20448"
