"""The coded vocabulary of the demo: problems, sites, procedures and devices by a short English name.

SNOMED CT codes with Dutch descriptions.
"""

from __future__ import annotations

from schakel.demo.patients.elements import sct

# Problems
DIABETES_2 = sct("44054006", "diabetes mellitus type 2")
HYPERTENSION = sct("38341003", "hypertensie")
HYPERLIPIDAEMIA = sct("55822004", "hyperlipidemie")
COPD = sct("13645005", "chronische obstructieve longaandoening")
ASTHMA = sct("195967001", "astma")
PNEUMONIA = sct("233604007", "pneumonie")
HEART_FAILURE = sct("84114007", "hartfalen")
ATRIAL_FIBRILLATION = sct("49436004", "atriumfibrilleren")
MYOCARDIAL_INFARCTION = sct("22298006", "myocardinfarct")
BRADYCARDIA = sct("48867003", "bradycardie")
CHRONIC_KIDNEY_DISEASE = sct("709044004", "chronische nierziekte")
HIP_FRACTURE = sct("359817006", "gesloten fractuur van heup")
OSTEOPOROSIS = sct("64859006", "osteoporose")
DEPRESSION = sct("35489007", "depressieve stoornis")
ANXIETY = sct("197480006", "angststoornis")
MIGRAINE = sct("37796009", "migraine")
PREGNANT = sct("77386006", "zwanger")
IRON_DEFICIENCY_ANAEMIA = sct("87522002", "ijzergebreksanemie")
KNEE_OSTEOARTHRITIS = sct("239873007", "artrose van knie")
APPENDICITIS = sct("74400008", "appendicitis")
HYPOTHYROIDISM = sct("40930008", "hypothyreoïdie")
OBESITY = sct("414916001", "obesitas")
DYSPNOEA = sct("267036007", "kortademigheid")
CHEST_PAIN = sct("29857009", "pijn op de borst")
HEADACHE = sct("25064002", "hoofdpijn")
ABDOMINAL_PAIN = sct("21522001", "buikpijn")
FATIGUE = sct("84229001", "vermoeidheid")
FEVER = sct("386661006", "koorts")
COUGH = sct("49727002", "hoesten")
KNEE_PAIN = sct("30989003", "pijn in knie")
FALL = sct("161898004", "valt")
URINARY_TRACT_INFECTION = sct("68566005", "urineweginfectie")
COMMON_COLD = sct("54150009", "bovensteluchtweginfectie")
BACK_PAIN = sct("279039007", "lagerugpijn")
INSOMNIA = sct("193462001", "slapeloosheid")

# Kinds of problem (ProbleemTypeCodelijst)
DIAGNOSIS = sct("282291009", "Diagnose")
COMPLAINT = sct("409586006", "Klacht")
SYMPTOM = sct("418799008", "Symptoom")
COMPLICATION = sct("116223007", "Complicatie")

# Sites
HEART = sct("80891009", "hart")
LUNG = sct("39607008", "long")
HIP = sct("29836001", "heupregio")
KNEE = sct("72696002", "knieregio")
UPPER_ARM_LEFT = sct("368208006", "Linker bovenarm")
UPPER_ARM_RIGHT = sct("368209003", "Rechter bovenarm")
WRIST_RIGHT = sct("9736006", "Rechterpols")

# Procedures
ECHOCARDIOGRAPHY = sct("40701008", "echocardiografie")
ELECTROCARDIOGRAM = sct("29303009", "elektrocardiografie")
PACEMAKER_IMPLANT = sct("307280005", "implantatie van cardiale pacemaker")
CORONARY_ANGIOPLASTY = sct("41339005", "coronaire angioplastiek")
HIP_REPLACEMENT = sct("52734007", "totale heupvervanging")
KNEE_PROSTHESIS = sct("392238003", "implantatie van gewrichtsprothese in knie")
APPENDECTOMY = sct("80146002", "appendectomie")
CHOLECYSTECTOMY = sct("38102005", "cholecystectomie")
CAESAREAN_SECTION = sct("11466000", "sectio caesarea")
SPIROMETRY = sct("127783003", "spirometrie")
ULTRASOUND = sct("16310003", "echografie")
CT_SCAN = sct("77477000", "CT-scan")
MRI_SCAN = sct("113091000", "MRI-scan")
COLONOSCOPY = sct("73761001", "coloscopie")
BRONCHOSCOPY = sct("10847001", "bronchoscopie")

# Categories of procedure in the BgZ
SURGICAL = sct("387713003", "chirurgische ingreep")
IMAGE_GUIDED = sct("258174001", "beeldgeleide verrichting")

# Devices
PACEMAKER = sct("706004007", "implanteerbare cardiale pacemaker")
CORONARY_STENT = sct("705643001", "stent voor coronairarterie")
HIP_PROSTHESIS = sct("304120007", "totale heupprothese")
CRUTCHES = sct("363753007", "krukken")
WHEELCHAIR = sct("58938008", "rolstoel")
GLASSES = sct("50121007", "bril")
HEARING_AID = sct("183125006", "in oor passend hoortoestel")
GLUCOSE_METER = sct("337414009", "bloedglucosemeter")
OXYGEN_MASK = sct("336602003", "zuurstofmasker")

# Allergens and reactions
PENICILLIN = sct("764146007", "penicilline")
AMOXICILLIN = sct("372687004", "amoxicilline")
ASPIRIN = sct("387458008", "acetylsalicylzuur")
IBUPROFEN = sct("387207008", "ibuprofen")
PEANUT = sct("762952008", "pinda")
COW_MILK = sct("3718001", "koemelk")
CAT_PROTEIN = sct("143491000146106", "eiwit van kat")
GRASS_POLLEN = sct("256277009", "graspollen")
LATEX = sct("111088007", "latex")
URTICARIA = sct("126485001", "urticaria")
ITCH = sct("418363000", "jeuk")
RASH = sct("271807003", "huiduitslag")
ANAPHYLAXIS = sct("39579001", "anafylaxie")
DIARRHOEA = sct("62315008", "diarree")

# Degrees (ErnstCodelijst)
MILD = sct("255604002", "Licht")
MODERATE = sct("6736007", "Matig")
SEVERE = sct("24484000", "Ernstig")

# Functioning
COMMUNICATION = sct("401049002", "communicatieve vaardigheden")
HEARING = sct("47078008", "gehoorfunctie")
WALKING = sct("282097004", "loopvermogen")
WASHING = sct("284785009", "vermogen om zichzelf te wassen")
MOOD = sct("85256008", "stemming")
COGNITION = sct("311465003", "cognitieve functies")

# Places before and after an admission
HOME = sct("264362003", "Eigen woonomgeving")
NURSING_HOME = sct("42665001", "Instelling voor verpleging/verzorging")
OTHER_HOSPITAL = sct("22232009", "Ander ziekenhuis")
REHABILITATION = sct("80522000", "Instelling voor revalidatie")
